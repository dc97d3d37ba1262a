//! The access methods that an index may name, and the operator classes of each: PostgreSQL's own.
//!
//! Only the kind of index that is shown depends on them, never an answer.

use std::sync::LazyLock;

use super::spec;
use super::types;
use crate::types::{Oid, PgType};

/// The method of every index that names none.
pub const BTREE: &str = "btree";

/// A way to keep an index.
#[derive(Debug, PartialEq, Eq)]
pub struct Method {
    pub oid: Oid,
    pub name: &'static str,
}

/// What an operator class serves.
#[derive(Debug)]
pub struct OperatorClass {
    pub oid: Oid,
    pub name: &'static str,
    method: Oid,
    input: Oid,
    /// Whether an index over the type takes it when none is named.
    pub default: bool,
}

static METHODS: LazyLock<Vec<Method>> = LazyLock::new(|| {
    let read = |line: &'static str| match line.split('\t').collect::<Vec<_>>()[..] {
        [oid, name, _, "i"] => Some(Method { oid: oid.parse().ok()?, name }),
        _ => None,
    };
    spec::fixed_text("pg_am").lines().filter_map(read).collect()
});

static CLASSES: LazyLock<Vec<OperatorClass>> = LazyLock::new(|| {
    let read = |line: &'static str| match line.split('\t').collect::<Vec<_>>()[..] {
        [oid, method, name, _, _, input, default, _] => Some(OperatorClass {
            oid: oid.parse().ok()?,
            name,
            method: method.parse().ok()?,
            input: input.parse().ok()?,
            default: default == "t",
        }),
        _ => None,
    };
    spec::fixed_text("pg_opclass").lines().filter_map(read).collect()
});

/// The access method of this name.
pub fn method(name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.name == name)
}

impl Method {
    pub fn is_btree(&self) -> bool {
        self.name == BTREE
    }

    /// Whether it can keep rows apart, and their order.
    pub fn takes_unique(&self) -> bool {
        self.is_btree()
    }

    pub fn takes_many_columns(&self) -> bool {
        !matches!(self.name, "hash" | "spgist")
    }

    pub fn takes_included_columns(&self) -> bool {
        matches!(self.name, BTREE | "gist" | "spgist")
    }

    /// Whether it has a class of this name for any type.
    pub fn has_class(&self, name: &str) -> bool {
        CLASSES.iter().any(|class| class.method == self.oid && class.name == name)
    }

    /// The class of this name that takes values of a type, or the type's default.
    pub fn class_of(&self, name: Option<&str>, ty: PgType) -> Option<&'static OperatorClass> {
        let own = if ty.array { "A" } else { "E" };
        self.class(name, ty.oid(), types::fixed(ty.oid()).map_or(own, |facts| &facts.category))
    }

    /// The same of a type known by its OID and category.
    pub fn class(&self, name: Option<&str>, type_oid: Oid, category: &str) -> Option<&'static OperatorClass> {
        let inputs = inputs(type_oid, category);
        let fits = |class: &&OperatorClass| {
            class.method == self.oid
                && match name {
                    Some(name) => class.name == name,
                    None => class.default,
                }
        };
        inputs.iter().find_map(|input| CLASSES.iter().filter(fits).find(|class| class.input == *input))
    }
}

/// The types whose classes serve a type: its own, the text that it is, and the family that it belongs to.
fn inputs(type_oid: Oid, category: &str) -> Vec<Oid> {
    const VARCHAR: Oid = 1043;
    const TEXT: Oid = 25;
    const ANYARRAY: Oid = 2277;
    const ANYENUM: Oid = 3500;
    const ANYRANGE: Oid = 3831;
    const CIDR: Oid = 650;
    const INET: Oid = 869;
    let mut inputs = vec![type_oid];
    match category {
        "A" => inputs.push(ANYARRAY),
        "E" => inputs.push(ANYENUM),
        "R" => inputs.push(ANYRANGE),
        _ if type_oid == VARCHAR => inputs.push(TEXT),
        _ if type_oid == CIDR => inputs.push(INET),
        _ => {}
    }
    inputs
}
