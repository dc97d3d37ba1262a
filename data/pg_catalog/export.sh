#!/bin/sh
# Writes the files of this folder from a PostgreSQL 15 that has just been initialised: export.sh CONNECTION
set -eu
cd "$(dirname "$0")"
db="$1"
system="relnamespace IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)"

# table columns [condition]
table() {
    psql -X -q -v ON_ERROR_STOP=1 "$db" \
        -c "COPY (SELECT $2 FROM $1 WHERE ${3:-true} ORDER BY 1, 2, 3) TO STDOUT WITH (HEADER)" >"$1.tsv"
}

psql -X -q -v ON_ERROR_STOP=1 "$db" -c "COPY (
    SELECT oid, relnamespace AS namespace, relname AS name, relkind AS kind, reltype AS type
    FROM pg_class WHERE relkind IN ('r', 'v') AND $system ORDER BY oid) TO STDOUT" >relations.tsv
psql -X -q -v ON_ERROR_STOP=1 "$db" -c "COPY (
    SELECT attrelid, attnum, attname, atttypid, CASE WHEN attnotnull THEN 1 ELSE 0 END
    FROM pg_attribute JOIN pg_class c ON attrelid = c.oid
    WHERE attnum > 0 AND relkind IN ('r', 'v') AND $system ORDER BY 1, 2) TO STDOUT" >columns.tsv

psql -X -q -A -t -F "$(printf '\t')" -v ON_ERROR_STOP=1 "$db" -c "SELECT * FROM pg_get_keywords() ORDER BY 1" >keywords.tsv

table pg_type "oid, typname, typnamespace, typlen, typbyval, typtype, typcategory, typispreferred, typisdefined, typdelim, typrelid,
    typsubscript::oid, typelem, typarray, typinput::oid, typoutput::oid, typreceive::oid, typsend::oid, typmodin::oid, typmodout::oid,
    typanalyze::oid, typalign, typstorage, typnotnull, typbasetype, typtypmod, typndims, typcollation, typdefault"
table pg_proc "oid, proname, pronamespace, prolang, procost, prorows, provariadic, prosupport::oid, prokind, prosecdef, proleakproof,
    proisstrict, proretset, provolatile, proparallel, pronargs, pronargdefaults, prorettype, proargtypes, proallargtypes, proargmodes,
    proargnames, pg_get_expr(proargdefaults, 0) AS proargdefaults"
table pg_operator "oid, oprname, oprnamespace, oprkind, oprcanmerge, oprcanhash, oprleft, oprright, oprresult, oprcom, oprnegate,
    oprcode::oid, oprrest::oid, oprjoin::oid"
table pg_cast "oid, castsource, casttarget, castfunc, castcontext, castmethod"
table pg_am "oid, amname, amhandler::oid, amtype"
table pg_amop "oid, amopfamily, amoplefttype, amoprighttype, amopstrategy, amoppurpose, amopopr, amopmethod, amopsortfamily"
table pg_amproc "oid, amprocfamily, amproclefttype, amprocrighttype, amprocnum, amproc::oid"
table pg_opclass "oid, opcmethod, opcname, opcnamespace, opcfamily, opcintype, opcdefault, opckeytype"
table pg_opfamily "oid, opfmethod, opfname, opfnamespace"
table pg_aggregate "aggfnoid::oid AS aggfnoid, aggkind, aggnumdirectargs, aggtransfn::oid, aggfinalfn::oid, aggcombinefn::oid,
    aggserialfn::oid, aggdeserialfn::oid, aggmtransfn::oid, aggminvtransfn::oid, aggmfinalfn::oid, aggfinalextra, aggmfinalextra,
    aggfinalmodify, aggmfinalmodify, aggsortop, aggtranstype, aggtransspace, aggmtranstype, aggmtransspace, agginitval, aggminitval"
table pg_range "rngtypid, rngsubtype, rngmultitypid, rngcollation, rngsubopc, rngcanonical::oid, rngsubdiff::oid"
table pg_collation "oid, collname, collnamespace, collprovider, collisdeterministic, collencoding, collcollate, collctype,
    colliculocale, collversion" "collname IN ('default', 'C', 'POSIX', 'ucs_basic')"
table pg_language "oid, lanname, lanispl, lanpltrusted, lanplcallfoid, laninline, lanvalidator"
table pg_ts_config "oid, cfgname, cfgnamespace, cfgparser"
table pg_ts_dict "oid, dictname, dictnamespace, dicttemplate, dictinitoption"
table pg_ts_parser "oid, prsname, prsnamespace, prsstart::oid, prstoken::oid, prsend::oid, prsheadline::oid, prslextype::oid"
table pg_tablespace "oid, spcname, spcowner"
table pg_description "objoid, classoid, objsubid, description" "classoid <> 'pg_conversion'::regclass
    AND NOT (classoid = 'pg_collation'::regclass AND objoid > 10000)
    AND classoid NOT IN ('pg_ts_template'::regclass)"
