//! Which of PostgreSQL's functions and operators of a name is meant with arguments of given types, by its own rules.
//!
//! Knows PostgreSQL's own only; `None` where there is none of the name or more than one would do.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use crate::plan::catalog::spec;
use crate::types::{Oid, PgType, TypeName};

/// Pseudo-types that stand for whatever comes.
mod pseudo {
    use crate::types::Oid;
    pub const ANY: Oid = 2276;
    pub const ANYARRAY: Oid = 2277;
    pub const ANYELEMENT: Oid = 2283;
    pub const ANYNONARRAY: Oid = 2776;
    pub const ANYENUM: Oid = 3500;
    pub const ANYCOMPATIBLE: Oid = 5077;
    pub const ANYCOMPATIBLEARRAY: Oid = 5078;
    pub const ANYCOMPATIBLENONARRAY: Oid = 5079;
}

#[derive(Debug)]
struct Signature {
    arguments: Vec<Oid>,
    result: Oid,
    /// The element type of the last argument where it may come many times.
    variadic: Oid,
    /// Arguments at the end that may be left out.
    optional: usize,
}

/// What a call means: the type that each argument is taken as (`None`: as it is) and that of the result.
#[derive(Debug, PartialEq)]
pub struct Meaning {
    pub arguments: Vec<Option<PgType>>,
    pub result: Option<PgType>,
}

type Named = HashMap<String, Vec<Signature>>;

static FUNCTIONS: LazyLock<Named> = LazyLock::new(functions);
static OPERATORS: LazyLock<Named> = LazyLock::new(operators);
static IMPLICIT: LazyLock<HashSet<(Oid, Oid)>> = LazyLock::new(|| {
    let rows = table("pg_cast", &["castsource", "casttarget", "castcontext"]);
    let implicit = rows.into_iter().filter(|row| row[2] == "i");
    implicit.map(|row| (number(row[0]), number(row[1]))).collect()
});
/// Category of a type and whether it is the preferred one there.
static CATEGORIES: LazyLock<HashMap<Oid, (char, bool)>> = LazyLock::new(|| {
    let rows = table("pg_type", &["oid", "typcategory", "typispreferred"]);
    rows.into_iter().map(|row| (number(row[0]), (row[1].chars().next().unwrap_or('X'), row[2] == "t"))).collect()
});

/// The function meant, aggregates and window functions among them; `None` in `arguments` is a literal without a type.
pub fn function(name: &str, arguments: &[Option<PgType>]) -> Option<Meaning> {
    choose(FUNCTIONS.get(name)?, arguments)
}

/// The operator meant; one argument is that of a prefix operator.
pub fn operator(symbol: &str, arguments: &[Option<PgType>]) -> Option<Meaning> {
    choose(OPERATORS.get(symbol)?, arguments)
}

/// Whether a value of the type becomes one of the other without being asked to.
pub fn is_implicit(from: PgType, to: PgType) -> bool {
    IMPLICIT.contains(&(from.oid(), to.oid()))
}

fn choose(signatures: &[Signature], arguments: &[Option<PgType>]) -> Option<Meaning> {
    let oids: Vec<Option<Oid>> = arguments.iter().map(|ty| ty.map(plain_oid)).collect();
    let mut left: Vec<Vec<Oid>> = Vec::new();
    let mut results = Vec::new();
    for signature in signatures {
        let Some(taken) = taken(signature, arguments.len()) else { continue };
        if taken.iter().zip(arguments).all(|(want, have)| have.is_none_or(|have| accepts(*want, have))) {
            left.push(taken);
            results.push(signature.result);
        }
    }
    let at = pick(&left, &oids)?;
    Some(meaning(&left[at], results[at], arguments))
}

/// The argument types with a variadic one spread out; `None` when so many arguments do not fit.
fn taken(signature: &Signature, count: usize) -> Option<Vec<Oid>> {
    let fixed = signature.arguments.len();
    if signature.variadic != 0 && count >= fixed {
        let spread = std::iter::repeat_n(signature.variadic, count + 1 - fixed);
        return Some(signature.arguments.iter().take(fixed - 1).copied().chain(spread).collect());
    }
    let fits = count <= fixed && count + signature.optional >= fixed;
    fits.then(|| signature.arguments.iter().take(count).copied().collect())
}

fn accepts(want: Oid, have: PgType) -> bool {
    let oid = plain_oid(have);
    match want {
        pseudo::ANY | pseudo::ANYELEMENT | pseudo::ANYCOMPATIBLE => true,
        pseudo::ANYARRAY | pseudo::ANYCOMPATIBLEARRAY => have.array,
        pseudo::ANYNONARRAY | pseudo::ANYCOMPATIBLENONARRAY => !have.array,
        pseudo::ANYENUM => !have.array && have.name.enumeration().is_some(),
        want => want == oid || IMPLICIT.contains(&(oid, want)),
    }
}

fn is_pseudo(oid: Oid) -> bool {
    matches!(oid, pseudo::ANY | pseudo::ANYARRAY | pseudo::ANYELEMENT | pseudo::ANYNONARRAY | pseudo::ANYENUM)
        || matches!(oid, pseudo::ANYCOMPATIBLE | pseudo::ANYCOMPATIBLEARRAY | pseudo::ANYCOMPATIBLENONARRAY)
}

fn category(oid: Oid) -> (char, bool) {
    CATEGORIES.get(&oid).copied().unwrap_or(('U', false))
}

fn plain_oid(ty: PgType) -> Oid {
    ty.with_modifier(-1).oid()
}

/// The place of the candidate that PostgreSQL takes.
fn pick(candidates: &[Vec<Oid>], have: &[Option<Oid>]) -> Option<usize> {
    let exact = |want: &[Oid], have: &[Option<Oid>]| want.iter().zip(have).all(|(w, h)| *h == Some(*w));
    if let Some(at) = candidates.iter().position(|want| exact(want, have)) {
        return Some(at);
    }
    // A literal beside a value is first taken to be of its type.
    if let [a, b] = have
        && let Some(known) = a.or(*b).filter(|_| a.is_none() || b.is_none())
        && let Some(at) = candidates.iter().position(|want| want.iter().all(|w| *w == known))
    {
        return Some(at);
    }
    let mut left: Vec<usize> = (0..candidates.len()).collect();
    let keep_best = |left: &mut Vec<usize>, score: &dyn Fn(&[Oid]) -> usize| {
        let best = left.iter().map(|at| score(&candidates[*at])).max().unwrap_or(0);
        left.retain(|at| score(&candidates[*at]) == best);
    };
    keep_best(&mut left, &|want| want.iter().zip(have).filter(|(w, h)| Some(**w) == **h).count());
    keep_best(&mut left, &|want| {
        let preferred =
            |(w, h): &(&Oid, &Option<Oid>)| h.is_some_and(|h| h == **w || (category(**w).1 && category(h).0 == category(**w).0));
        want.iter().zip(have).filter(preferred).count()
    });
    if left.len() > 1 {
        for (place, _) in have.iter().enumerate().filter(|(_, h)| h.is_none()) {
            let categories: Vec<char> = left.iter().map(|at| category(candidates[*at][place]).0).collect();
            let wanted = match categories.first() {
                _ if categories.contains(&'S') => 'S',
                Some(first) if categories.iter().all(|c| c == first) => *first,
                _ => continue,
            };
            left.retain(|at| category(candidates[*at][place]).0 == wanted);
            if left.iter().any(|at| category(candidates[*at][place]).1) {
                left.retain(|at| category(candidates[*at][place]).1);
            }
        }
    }
    if left.len() > 1 {
        let mut known = have.iter().flatten();
        let first = known.next()?;
        if known.all(|other| other == first) {
            left.retain(|at| have.iter().zip(&candidates[*at]).all(|(h, w)| h.is_some() || w == first));
        }
    }
    match left.as_slice() {
        [only] => Some(*only),
        _ => None,
    }
}

fn meaning(want: &[Oid], result: Oid, arguments: &[Option<PgType>]) -> Meaning {
    let element = want.iter().zip(arguments).find_map(|(want, have)| {
        let have = have.filter(|_| is_pseudo(*want) && *want != pseudo::ANY)?.with_modifier(-1);
        Some(if matches!(*want, pseudo::ANYARRAY | pseudo::ANYCOMPATIBLEARRAY) { have.element() } else { have })
    });
    let typed = |oid: Oid| match oid {
        pseudo::ANY => None,
        pseudo::ANYARRAY | pseudo::ANYCOMPATIBLEARRAY => element.map(PgType::array_of),
        oid if is_pseudo(oid) => element,
        oid => PgType::from_oid(oid),
    };
    let arguments = want.iter().zip(arguments).map(|(want, have)| match have {
        Some(_) if is_pseudo(*want) => None,
        // What the catalogue takes as text may stay a name.
        Some(have) if have.name == TypeName::Name && !have.array => None,
        _ => typed(*want),
    });
    Meaning { arguments: arguments.collect(), result: typed(result) }
}

fn functions() -> Named {
    let columns = ["proname", "proargtypes", "prorettype", "provariadic", "pronargdefaults", "prokind"];
    let mut named = Named::new();
    for row in table("pg_proc", &columns) {
        let arguments = row[1].split_whitespace().map(number).collect();
        let optional = row[4].parse().unwrap_or(0);
        let signature = Signature { arguments, result: number(row[2]), variadic: number(row[3]), optional };
        named.entry(row[0].to_owned()).or_default().push(signature);
    }
    named
}

fn operators() -> Named {
    let mut named = Named::new();
    for row in table("pg_operator", &["oprname", "oprleft", "oprright", "oprresult"]) {
        let arguments = [number(row[1]), number(row[2])].into_iter().filter(|oid| *oid != 0).collect();
        let signature = Signature { arguments, result: number(row[3]), variadic: 0, optional: 0 };
        named.entry(row[0].to_owned()).or_default().push(signature);
    }
    named
}

fn number(text: &str) -> Oid {
    text.parse().unwrap_or(0)
}

/// The rows of one of PostgreSQL's own relations, only these columns of them.
fn table(name: &str, columns: &[&str]) -> Vec<Vec<&'static str>> {
    let mut lines = spec::fixed_text(name).lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
    let places: Vec<usize> = columns.iter().filter_map(|c| header.iter().position(|h| h == c)).collect();
    let pick = |line: &'static str| {
        let fields: Vec<&str> = line.split('\t').collect();
        places.iter().map(|at| fields.get(*at).copied().unwrap_or_default()).collect()
    };
    lines.map(pick).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VARCHAR: PgType = PgType::new(TypeName::Varchar);
    const NUMERIC: PgType = PgType::new(TypeName::Numeric);

    #[test]
    fn operators_are_those_that_postgresql_takes() {
        let check = |symbol: &str, have: &[Option<PgType>], want: &[Option<PgType>], result: PgType| {
            let found = operator(symbol, have).unwrap();
            assert_eq!((found.arguments.as_slice(), found.result), (want, Some(result)), "{symbol}");
        };
        let (int, text) = (Some(PgType::INT4), Some(PgType::TEXT));
        check(">", &[Some(NUMERIC), int], &[Some(NUMERIC), Some(NUMERIC)], PgType::BOOL);
        check("||", &[Some(VARCHAR), None], &[text, text], PgType::TEXT);
        check("||", &[text, int], &[text, None], PgType::TEXT);
        check("->>", &[Some(PgType::JSONB), None], &[Some(PgType::JSONB), text], PgType::TEXT);
        check("-", &[int], &[int], PgType::INT4);
        check("=", &[Some(PgType::INT8), int], &[Some(PgType::INT8), int], PgType::BOOL);
    }

    #[test]
    fn functions_are_those_that_postgresql_takes() {
        let lower = function("lower", &[Some(VARCHAR)]).unwrap();
        assert_eq!((lower.arguments, lower.result), (vec![Some(PgType::TEXT)], Some(PgType::TEXT)));
        let sum = function("sum", &[Some(PgType::INT4)]).unwrap();
        assert_eq!(sum.result, Some(PgType::INT8));
        let concat = function("concat", &[Some(PgType::TEXT), None]).unwrap();
        assert_eq!(concat.arguments, vec![None, None]);
        assert_eq!(function("array_agg", &[Some(PgType::INT4)]).unwrap().result, Some(PgType::INT4.array_of()));
        assert_eq!(function("no_such_function", &[]), None);
    }
}
