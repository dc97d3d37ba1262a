//! What a catalogue refuses to become.

use super::*;

fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    catalog.create_schema(schema(&catalog, "public")).unwrap();
    catalog.create_table(table(&catalog, "t")).unwrap();
    catalog
}

#[track_caller]
fn refused(change: impl FnOnce(&mut Catalog) -> Result<(), CatalogError>, code: SqlState, message: &str) {
    let mut catalog = catalog();
    let before: Vec<_> = catalog.tables.keys().chain(catalog.sequences.keys()).cloned().collect();
    let error = change(&mut catalog).unwrap_err().diagnose();
    assert_eq!((error.code(), error.message()), (code, message));
    assert_eq!(catalog.tables.keys().chain(catalog.sequences.keys()).cloned().collect::<Vec<_>>(), before);
}

#[test]
fn relations_of_a_schema_share_their_names() {
    refused(|c| c.create_table(table(c, "t")), SqlState::DUPLICATE_TABLE, "relation \"t\" already exists");
    let index = |c: &mut Catalog| c.create_sequence(sequence(c, "t_name_key", 1));
    refused(index, SqlState::DUPLICATE_TABLE, "relation \"t_name_key\" already exists");
    let taken = |c: &mut Catalog| {
        let mut def = table(c, "u");
        def.uniques[0].name = "t".to_owned();
        c.create_table(def)
    };
    refused(taken, SqlState::DUPLICATE_TABLE, "relation \"t\" already exists");
}

#[test]
fn system_schemas_and_names_of_the_past_are_not_for_definitions() {
    let in_schema = |schema: &'static str| {
        move |c: &mut Catalog| c.create_table(TableDef { name: Qualified::new(schema, "x"), ..table(c, "x") })
    };
    refused(in_schema("pg_catalog"), SqlState::INSUFFICIENT_PRIVILEGE, "permission denied to create \"pg_catalog.x\"");
    refused(in_schema("nowhere"), SqlState::INVALID_SCHEMA_NAME, "schema \"nowhere\" does not exist");
    let reserved = |c: &mut Catalog| c.create_schema(schema(c, "chronogate"));
    refused(reserved, SqlState::RESERVED_NAME, "unacceptable schema name \"chronogate\"");
    refused(|c| c.create_table(table(c, "x__history")), SqlState::RESERVED_NAME, "relation name \"x__history\" is reserved");
}

#[test]
fn columns_have_names_of_their_own() {
    let named = |name: &'static str| {
        move |c: &mut Catalog| {
            let mut def = table(c, "u");
            def.columns.push(column(3, name, PgType::TEXT));
            c.create_table(def)
        }
    };
    refused(named("id"), SqlState::DUPLICATE_COLUMN, "column \"id\" specified more than once");
    let system = "column name \"_version\" conflicts with a system column name";
    refused(named("_version"), SqlState::DUPLICATE_COLUMN, system);
}

#[test]
fn sequences_that_cannot_be_are_refused() {
    let with = |change: fn(&mut SequenceDef)| {
        move |c: &mut Catalog| {
            let mut def = sequence(c, "s", 1);
            change(&mut def);
            c.create_sequence(def)
        }
    };
    refused(with(|s| s.increment = 0), SqlState::INVALID_PARAMETER_VALUE, "INCREMENT must not be zero");
    let start = "START value (0) cannot be less than MINVALUE (1)";
    refused(with(|s| s.start = 0), SqlState::INVALID_PARAMETER_VALUE, start);
    let bounds = "MINVALUE (1) must be less than MAXVALUE (1)";
    refused(with(|s| s.max = 1), SqlState::INVALID_PARAMETER_VALUE, bounds);
}

#[test]
fn a_schema_is_dropped_with_what_is_in_it_only_on_request() {
    let needed = "cannot drop schema public because other objects depend on it";
    refused(|c| c.drop_schema("public", false), SqlState::DEPENDENT_OBJECTS_STILL_EXIST, needed);
    let mut catalog = catalog();
    catalog.drop_schema("public", true).unwrap();
    assert!(catalog.tables.is_empty() && catalog.schemas.is_empty());
    assert_eq!(catalog.drop_schema("public", true), Err(CatalogError::NoSchema("public".to_owned())));
}

#[test]
fn a_renamed_schema_takes_its_relations_along() {
    let mut catalog = catalog();
    let def = SchemaDef::clone(&catalog.schemas["public"]);
    catalog.replace_schema("public", SchemaDef { name: "p".to_owned(), ..def }).unwrap();
    assert!(catalog.tables.contains_key(&Qualified::new("p", "t")));
    assert_eq!(catalog.schemas.keys().collect::<Vec<_>>(), ["p"]);
}

#[test]
fn a_table_goes_with_the_sequences_of_its_columns() {
    let mut catalog = catalog();
    let owner = catalog.tables[&public("t")].id;
    let owned_by = Some((owner, ColumnId(1)));
    catalog.create_sequence(SequenceDef { owned_by, ..sequence(&catalog, "owned", 1) }).unwrap();
    catalog.create_sequence(sequence(&catalog, "free", 1)).unwrap();
    catalog.drop_table(&public("t")).unwrap();
    assert_eq!(catalog.sequences.keys().collect::<Vec<_>>(), [&public("free")]);
    assert!(!catalog.has_relation(&public("t_pkey")));
}

#[test]
fn free_names_are_numbered_and_cut() {
    let catalog = catalog();
    assert_eq!(catalog.free_relation_name("public", "t_pkey"), "t_pkey1");
    assert_eq!(catalog.free_relation_name("public", "u"), "u");
    assert_eq!(catalog.free_relation_name("public", &"é".repeat(40)).len(), 62);
}

#[test]
fn an_index_is_dropped_unless_a_constraint_needs_it() {
    let needed = "cannot drop index t_name_key because other objects depend on it";
    let drop_key = |c: &mut Catalog| c.drop_index(&public("t_name_key")).map(drop);
    refused(drop_key, SqlState::DEPENDENT_OBJECTS_STILL_EXIST, needed);
    let missing = |c: &mut Catalog| c.drop_index(&public("nothing")).map(drop);
    refused(missing, SqlState::UNDEFINED_OBJECT, "index \"nothing\" does not exist");
}
