//! Types that users define: enumerations, domains and composite types, and what they make of the columns that have them.
//!
//! A catalogue holds every type that ever was: a dropped one has no name any more, but columns of the past still
//! have their values. Columns in a catalogue's tables and views carry the shapes of its own types (see
//! `types::user`), so that whoever reads a column's type needs no catalogue.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::{Catalog, CatalogError, CheckDef, ColumnDef, TableDef, ViewDef};
use crate::types::user::{Kind as ShapeKind, Label, Shape};
use crate::types::{Oid, PgType, Qualified, TypeName, UserType};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TypeDef {
    pub id: u32,
    /// The number of the type of its arrays.
    pub array_id: u32,
    pub name: Qualified,
    pub owner: String,
    pub kind: TypeKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(default)]
    pub grants: BTreeMap<String, Vec<String>>,
    /// Dropped: nothing of the present has it, the past may.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dropped: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TypeKind {
    /// Values in their order.
    Enum(Vec<EnumValue>),
    Domain(DomainDef),
    Composite(CompositeDef),
}

/// A row type of its own, beside those that tables have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompositeDef {
    /// Its number among relations.
    pub relation: u32,
    /// Names and types of its fields.
    pub fields: Vec<(String, PgType)>,
}

/// One value of an enumeration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnumValue {
    pub id: u32,
    pub label: String,
    /// The word it is stored under, where that is not the label; see `types::user`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<String>,
}

impl EnumValue {
    pub fn stored(&self) -> &str {
        self.stored.as_deref().unwrap_or(&self.label)
    }
}

/// A type whose values are those of another that satisfy conditions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DomainDef {
    /// What it comes down to; never a domain.
    pub base: PgType,
    /// The domain that it is made over, where that is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<u32>,
    #[serde(default)]
    pub not_null: bool,
    /// SQL text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Conditions on VALUE.
    #[serde(default)]
    pub checks: Vec<CheckDef>,
}

impl TypeDef {
    /// The type as columns of this state of the definitions have it.
    pub fn ty(&self) -> PgType {
        match &self.kind {
            TypeKind::Enum(values) => {
                let label = |value: &EnumValue| Label { label: value.label.clone(), stored: value.stored().to_owned() };
                let kind = ShapeKind::Enum(values.iter().map(label).collect());
                let shape = Shape { oid: self.id, array_oid: self.array_id, name: self.name.clone(), kind };
                PgType::new(TypeName::Enum(UserType::of(shape)))
            }
            TypeKind::Domain(domain) => domain.base,
            TypeKind::Composite(composite) => {
                let kind = ShapeKind::Composite(composite.fields.clone());
                let shape = Shape { oid: self.id, array_oid: self.array_id, name: self.name.clone(), kind };
                PgType::new(TypeName::Composite(UserType::of(shape)))
            }
        }
    }

    pub fn values(&self) -> &[EnumValue] {
        match &self.kind {
            TypeKind::Enum(values) => values,
            TypeKind::Domain(_) | TypeKind::Composite(_) => &[],
        }
    }

    pub fn domain(&self) -> Option<&DomainDef> {
        match &self.kind {
            TypeKind::Domain(domain) => Some(domain),
            TypeKind::Enum(_) | TypeKind::Composite(_) => None,
        }
    }

    pub fn composite(&self) -> Option<&CompositeDef> {
        match &self.kind {
            TypeKind::Composite(composite) => Some(composite),
            TypeKind::Enum(_) | TypeKind::Domain(_) => None,
        }
    }

    /// The word under which a new value of this label is stored: no value of the type has it.
    pub fn free_word(&self, label: &str) -> Option<String> {
        let taken = |word: &str| self.values().iter().any(|value| value.stored() == word);
        if !taken(label) {
            return None;
        }
        (2u32..).map(|n| format!("{label} {n}")).find(|word| !taken(word))
    }

    /// The greatest number that the definition uses.
    pub(super) fn last_id(&self) -> u32 {
        let parts: Vec<u32> = match &self.kind {
            TypeKind::Enum(values) => values.iter().map(|value| value.id).collect(),
            TypeKind::Domain(domain) => domain.checks.iter().map(|check| check.id).collect(),
            TypeKind::Composite(composite) => vec![composite.relation],
        };
        parts.into_iter().chain([self.id, self.array_id]).max().unwrap_or(self.id)
    }
}

/// A type that a name leads to.
#[derive(Clone, Debug)]
pub struct NamedType {
    pub def: Arc<TypeDef>,
    /// The name is that of its arrays.
    pub array: bool,
}

impl Catalog {
    /// The type with this number, dropped or not.
    pub fn type_by_id(&self, id: u32) -> Option<&Arc<TypeDef>> {
        self.types_by_id.get(&id)
    }

    /// Types of the present, in the order of their names.
    pub fn live_types(&self) -> impl Iterator<Item = &Arc<TypeDef>> {
        self.types.values()
    }

    /// The type of this name, in the schema or else in the first of the path that has it.
    pub fn type_named(&self, path: &[String], schema: Option<&str>, name: &str) -> Option<NamedType> {
        let in_schema = |schema: &str| self.types.get(&Qualified::new(schema, name)).cloned();
        let array_in_schema = |schema: &str| {
            let arrays = self.types.values().filter(|def| def.name.schema == schema && def.domain().is_none());
            arrays.into_iter().find(|def| format!("_{}", def.name.name) == name).cloned()
        };
        let find = |schema: &str| {
            let plain = in_schema(schema).map(|def| NamedType { def, array: false });
            plain.or_else(|| array_in_schema(schema).filter(|_| name.starts_with('_')).map(|def| NamedType { def, array: true }))
        };
        match schema {
            Some(schema) => find(schema),
            None => path.iter().find_map(|schema| find(schema)),
        }
    }

    /// A type of a user's, or the array of one, by its number.
    pub fn user_type(&self, oid: Oid) -> Option<PgType> {
        if let Some(def) = self.types_by_id.get(&oid) {
            return Some(def.ty());
        }
        self.types.values().find(|def| def.array_id == oid && def.domain().is_none()).map(|def| def.ty().array_of())
    }

    /// A type with the shape that this catalogue has of it.
    pub fn shaped(&self, ty: PgType) -> PgType {
        let Some(user) = ty.name.user() else { return ty };
        let known = self.types_by_id.get(&user.oid()).map(|def| def.ty().name);
        PgType { name: known.unwrap_or(ty.name), ..ty }
    }

    /// The table with the shapes that this catalogue has of its columns' types.
    pub fn shaped_table(&self, table: &Arc<TableDef>) -> Arc<TableDef> {
        if !table.columns.iter().any(has_user_type) {
            return Arc::clone(table);
        }
        let mut shaped = TableDef::clone(table);
        shaped.columns.iter_mut().for_each(|column| column.ty = self.shaped(column.ty));
        Arc::new(shaped)
    }

    fn shaped_view(&self, view: &Arc<ViewDef>) -> Arc<ViewDef> {
        if !view.columns.iter().any(|(_, ty)| ty.name.user().is_some()) {
            return Arc::clone(view);
        }
        let columns = view.columns.iter().map(|(name, ty)| (name.clone(), self.shaped(*ty))).collect();
        Arc::new(ViewDef { columns, ..ViewDef::clone(view) })
    }

    /// A definition with the shapes of this catalogue's types.
    pub(super) fn shaped_definition(&self, definition: Definition) -> Definition {
        match definition {
            Definition::Table(def) => Definition::Table(self.shaped_table(&def)),
            Definition::View(def) => Definition::View(self.shaped_view(&def)),
            Definition::Type(def) => match &def.kind {
                TypeKind::Domain(domain) if domain.base.name.user().is_some() => {
                    let base = self.shaped(domain.base);
                    let kind = TypeKind::Domain(DomainDef { base, ..domain.clone() });
                    Definition::Type(Arc::new(TypeDef { kind, ..TypeDef::clone(&def) }))
                }
                TypeKind::Composite(composite) if composite.fields.iter().any(|(_, ty)| ty.name.user().is_some()) => {
                    let fields = composite.fields.iter().map(|(name, ty)| (name.clone(), self.shaped(*ty))).collect();
                    let kind = TypeKind::Composite(CompositeDef { fields, ..composite.clone() });
                    Definition::Type(Arc::new(TypeDef { kind, ..TypeDef::clone(&def) }))
                }
                _ => Definition::Type(def),
            },
            other => other,
        }
    }

    /// Gives everything that has the type its new shape.
    pub(super) fn reshape(&mut self, id: u32) {
        let of = |ty: &PgType| ty.name.user().is_some_and(|user| user.oid() == id);
        let tables = self.tables.values().filter(|t| t.columns.iter().any(|c| of(&c.ty)));
        let mut users: Vec<Definition> = tables.cloned().map(Definition::Table).collect();
        let views = self.views.values().filter(|v| v.columns.iter().any(|(_, ty)| of(ty)));
        users.extend(views.cloned().map(Definition::View));
        let over = |def: &&Arc<TypeDef>| {
            def.domain().is_some_and(|domain| of(&domain.base))
                || def.composite().is_some_and(|composite| composite.fields.iter().any(|(_, ty)| of(ty)))
        };
        users.extend(self.types_by_id.values().filter(over).cloned().map(Definition::Type));
        users.into_iter().for_each(|definition| self.put(definition));
    }

    pub fn create_type(&mut self, def: TypeDef) -> Result<(), CatalogError> {
        self.check_type_name(&def.name)?;
        self.put(Definition::Type(Arc::new(def)));
        Ok(())
    }

    /// Gives the type with the definition's id this definition, which may have another name.
    pub fn replace_type(&mut self, def: TypeDef) -> Result<(), CatalogError> {
        let missing = || CatalogError::NoType(def.name.name.clone());
        let old = self.types_by_id.get(&def.id).filter(|old| !old.dropped).cloned().ok_or_else(missing)?;
        if def.name != old.name {
            self.check_type_name(&def.name)?;
        }
        self.take(&Definition::Type(old));
        self.put(Definition::Type(Arc::new(def)));
        Ok(())
    }

    /// Drops the type; what has it goes first.
    pub fn drop_type(&mut self, name: &Qualified) -> Result<(), CatalogError> {
        let old = self.types.get(name).cloned().ok_or_else(|| CatalogError::NoType(name.name.clone()))?;
        self.take(&Definition::Type(Arc::clone(&old)));
        self.put(Definition::Type(Arc::new(TypeDef { dropped: true, ..TypeDef::clone(&old) })));
        Ok(())
    }

    fn check_type_name(&self, name: &Qualified) -> Result<(), CatalogError> {
        if super::is_system_schema(&name.schema) {
            return Err(CatalogError::SystemSchema(name.clone()));
        }
        if !self.schemas.contains_key(&name.schema) {
            return Err(CatalogError::NoSchema(name.schema.clone()));
        }
        let of_relation = self.tables.contains_key(name) || self.views.contains_key(name);
        if of_relation || self.types.contains_key(name) {
            return Err(CatalogError::TypeExists(name.name.clone()));
        }
        Ok(())
    }
}

fn has_user_type(column: &ColumnDef) -> bool {
    column.ty.name.user().is_some()
}
