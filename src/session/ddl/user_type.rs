//! CREATE TYPE … AS ENUM, ALTER and DROP of types that users defined, and what a type's name means to other statements.
//!
//! A type is known by its number to everything that has it, but texts of definitions name it: a new name, of the type
//! or of a label, is written into them, and where that cannot be done for sure the statement is refused.

use std::sync::Arc;

use super::{Change, too_long};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{Catalog, CompositeDef, EnumValue, IndexPart, NamedType, TableDef, TypeDef, TypeKind, ViewDef};
use crate::plan::catalog::deparse;
use crate::sql::rename::{mentions_type, rename_label, rename_type};
use crate::sql::{AlterType, ColumnSpec, Name, OwnType};
use crate::types::{PgType, Qualified};

/// 42704 for a name that leads to no type.
fn no_type(name: &Name) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist"))
}

/// A type as it was written, and the domain that it is, if it is one.
pub(in crate::session) fn written_type(
    catalog: &Catalog,
    path: &[String],
    ty: PgType,
    own: Option<&OwnType>,
) -> Result<(PgType, Option<u32>)> {
    let Some(own) = own else { return Ok((ty, None)) };
    let found = catalog.type_named(path, own.name.schema.as_deref(), &own.name.name);
    let NamedType { def, array } = found.ok_or_else(|| no_type(&own.name).at(own.position))?;
    let array = array || ty.array;
    if def.domain().is_some() && array {
        return Err(
            SqlError::unsupported("arrays of domains are not supported", "Use an array of the base type.").at(own.position)
        );
    }
    let domain = def.domain().map(|_| def.id);
    Ok((if array { def.ty().array_of() } else { def.ty() }, domain))
}

impl Change {
    pub(super) fn written_type(&self, ty: PgType, own: Option<&OwnType>) -> Result<(PgType, Option<u32>)> {
        written_type(&self.catalog, &self.ctx.search_path, ty, own)
    }

    /// The column with its type looked up.
    pub(super) fn resolved(&self, spec: &ColumnSpec) -> Result<ColumnSpec> {
        let (ty, domain) = self.written_type(spec.ty, spec.own.as_ref())?;
        Ok(ColumnSpec { ty, domain: domain.or(spec.domain), own: None, ..spec.clone() })
    }

    fn find_type(&self, name: &Name) -> Option<NamedType> {
        self.catalog.type_named(&self.ctx.search_path, name.schema.as_deref(), &name.name)
    }

    /// A type of this name that the current role owns.
    fn own_type(&self, name: &Name, domain: bool) -> Result<TypeDef> {
        let Some(NamedType { def, array }) = self.find_type(name) else {
            if let Some(relation) = self.find(name, Catalog::has_relation) {
                let message = format!("{} is a table's row type", relation.name);
                return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message).hint("Use ALTER TABLE instead."));
            }
            return Err(no_type(name));
        };
        if array {
            let element = &def.name.name;
            return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("cannot alter array type {element}[]"))
                .hint(format!("You can alter type {element}, which will alter the array type as well.")));
        }
        self.require_owner("type", &def.name.name, &def.owner)?;
        if domain && def.domain().is_none() {
            return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{name}\" is not a domain")));
        }
        Ok(TypeDef::clone(&def))
    }

    pub(super) fn create_enum(&mut self, name: &Name, labels: &[String]) -> Result<()> {
        let name = self.new_name(name)?;
        let (id, array_id) = (self.catalog.ids.next(), self.catalog.ids.next());
        let mut values: Vec<EnumValue> = Vec::with_capacity(labels.len());
        for label in labels {
            check_label(label)?;
            if values.iter().any(|value| value.label == *label) {
                let message = "duplicate key value violates unique constraint \"pg_enum_typid_label_index\"";
                return Err(SqlError::new(SqlState::UNIQUE_VIOLATION, message)
                    .detail(format!("Key (enumtypid, enumlabel)=({id}, {label}) already exists.")));
            }
            values.push(EnumValue { id: self.catalog.ids.next(), label: label.clone(), stored: None });
        }
        self.create_user_type(id, array_id, name, TypeKind::Enum(values))
    }

    /// Values of such a type are for queries; no column has it.
    pub(super) fn create_composite(&mut self, name: &Name, fields: &[(String, PgType, Option<OwnType>)]) -> Result<()> {
        let name = self.new_name(name)?;
        let mut resolved: Vec<(String, PgType)> = Vec::with_capacity(fields.len());
        for (field, ty, own) in fields {
            let (ty, domain) = self.written_type(*ty, own.as_ref())?;
            if domain.is_some() {
                let message = format!("attribute \"{field}\" cannot be of a domain");
                return Err(SqlError::unsupported(message, "Use the base type."));
            }
            if resolved.iter().any(|(other, _)| other == field) {
                let message = format!("column \"{field}\" specified more than once");
                return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
            }
            resolved.push((field.clone(), ty));
        }
        if self.catalog.has_relation(&name) {
            return Err(crate::history::CatalogError::RelationExists(name.name).into());
        }
        let (id, array_id, relation) = (self.catalog.ids.next(), self.catalog.ids.next(), self.catalog.ids.next());
        self.create_user_type(id, array_id, name, TypeKind::Composite(CompositeDef { relation, fields: resolved }))
    }

    pub(super) fn create_user_type(&mut self, id: u32, array_id: u32, name: Qualified, kind: TypeKind) -> Result<()> {
        let owner = self.ctx.current_user.clone();
        let grants = Default::default();
        Ok(self.catalog.create_type(TypeDef { id, array_id, name, owner, kind, comment: None, grants, dropped: false })?)
    }

    pub(super) async fn alter_type(&mut self, name: &Name, domain: bool, action: &AlterType) -> Result<()> {
        let mut def = self.own_type(name, domain)?;
        match action {
            AlterType::Rename(to) => {
                if to.len() > 63 {
                    return Err(too_long(to));
                }
                let to = Qualified::new(def.name.schema.as_str(), to.as_str());
                return self.rename_user_type(def, to).await;
            }
            AlterType::SetSchema(schema) => {
                let to = self.new_name(&Name::qualified(schema.as_str(), def.name.name.as_str()))?;
                return self.rename_user_type(def, to).await;
            }
            AlterType::OwnerTo(role) => {
                self.require_membership(role)?;
                role.clone_into(&mut def.owner);
            }
            AlterType::AddValue { label, if_not_exists, place } => {
                if !self.add_value(&mut def, label, *if_not_exists, place.as_ref())? {
                    return Ok(());
                }
            }
            AlterType::RenameValue { from, to } => return self.rename_value(def, from, to).await,
            AlterType::SetDefault(_)
            | AlterType::SetNotNull(_)
            | AlterType::AddCheck { .. }
            | AlterType::DropConstraint { .. }
            | AlterType::RenameConstraint { .. }
            | AlterType::ValidateConstraint(_) => return Box::pin(self.alter_domain(def, action)).await,
        }
        Ok(self.catalog.replace_type(def)?)
    }

    /// Whether the value had to be added.
    fn add_value(&self, def: &mut TypeDef, label: &str, if_not_exists: bool, place: Option<&(bool, String)>) -> Result<bool> {
        check_label(label)?;
        let stored = def.free_word(label);
        let id = self.catalog.ids.next();
        let values = values_mut(def)?;
        if values.iter().any(|value| value.label == label) {
            let message = format!("enum label \"{label}\" already exists");
            if if_not_exists {
                self.notice(format!("{message}, skipping"));
                return Ok(false);
            }
            return Err(SqlError::new(SqlState::DUPLICATE_OBJECT, message));
        }
        let at = match place {
            None => values.len(),
            Some((before, neighbour)) => position(values, neighbour)? + usize::from(!before),
        };
        values.insert(at, EnumValue { id, label: label.to_owned(), stored });
        Ok(true)
    }

    async fn rename_value(&mut self, mut def: TypeDef, from: &str, to: &str) -> Result<()> {
        check_label(to)?;
        let values = values_mut(&mut def)?;
        let at = position(values, from)?;
        if values.iter().any(|value| value.label == to) {
            return Err(SqlError::new(SqlState::DUPLICATE_OBJECT, format!("enum label \"{to}\" already exists")));
        }
        if let Some(value) = values.get_mut(at) {
            let stored = value.stored().to_owned();
            to.clone_into(&mut value.label);
            value.stored = (stored != to).then_some(stored);
        }
        let (id, name, path) = (def.id, def.name.clone(), self.ctx.search_path.clone());
        let before = self.catalog.clone();
        let is_it =
            |schema: Option<&str>, name: &str| before.type_named(&path, schema, name).is_some_and(|found| found.def.id == id);
        let quoted = format!("'{}'", from.replace('\'', "''"));
        let holds = |text: &str| text.contains(&quoted);
        let tables: Vec<Arc<TableDef>> = before.tables.values().filter(|t| has_type(t, id)).cloned().collect();
        self.catalog.replace_type(def)?;
        for table in tables {
            let mut renamed = TableDef::clone(&table);
            for column in renamed.columns.iter_mut().filter(|c| c.ty.name.user().is_some_and(|user| user.oid() == id)) {
                for text in column.default.iter_mut().chain(column.missing.iter_mut()) {
                    *text = rename_label(text, &is_it, from, to);
                }
            }
            // Literals take their types from what they are compared with: written out, they can be told apart.
            for check in renamed.checks.iter_mut().filter(|check| holds(&check.expression)) {
                check.expression = rename_label(&deparse::check(&table, &check.expression), &is_it, from, to);
            }
            if expressions(&table).into_iter().any(holds) {
                return Err(SqlError::unsupported(
                    format!("cannot rename label \"{from}\": an expression of table \"{}\" has it", table.name.name),
                    "Drop the generated column or the index first.",
                ));
            }
            self.catalog.replace_table(renamed)?;
        }
        self.apply()?;
        self.verify_views(&name, |text| text.contains(from)).await
    }

    /// Texts that name the type get its new name.
    async fn rename_user_type(&mut self, mut def: TypeDef, to: Qualified) -> Result<()> {
        let (id, from, path) = (def.id, def.name.clone(), self.ctx.search_path.clone());
        let before = self.catalog.clone();
        let is_it =
            |schema: Option<&str>, name: &str| before.type_named(&path, schema, name).is_some_and(|found| found.def.id == id);
        def.name = to.clone();
        self.catalog.replace_type(def)?;
        for table in before.tables.values() {
            let mut renamed = TableDef::clone(table);
            texts_mut(&mut renamed).into_iter().for_each(|text| *text = rename_type(text, &is_it, &to));
            if renamed.columns != table.columns
                || renamed.checks != table.checks
                || renamed.computed_indexes != table.computed_indexes
            {
                self.catalog.replace_table(renamed)?;
            }
        }
        for view in before.queries() {
            let query = rename_type(&view.query, &is_it, &to);
            if query != view.query {
                self.catalog.replace_view(ViewDef { query, ..ViewDef::clone(&view) })?;
            }
        }
        for other in before.live_types() {
            if let TypeKind::Domain(domain) = &other.kind {
                let mut domain = domain.clone();
                let checks = domain.checks.iter_mut().map(|check| &mut check.expression);
                domain.default.iter_mut().chain(checks).for_each(|text| *text = rename_type(text, &is_it, &to));
                if other.domain().is_some_and(|before| *before != domain) {
                    self.catalog.replace_type(TypeDef { kind: TypeKind::Domain(domain), ..TypeDef::clone(other) })?;
                }
            }
        }
        self.apply()?;
        self.verify_views(&from, |text| text.contains(&from.name)).await
    }

    /// 0A000 when a view of which `concerns` says that it may be concerned cannot be read any more.
    async fn verify_views(&self, of: &Qualified, concerns: impl Fn(&str) -> bool) -> Result<()> {
        for view in self.catalog.queries().filter(|view| concerns(&view.query)).collect::<Vec<_>>() {
            if self.analyse(&view.query).await.is_err() {
                return Err(SqlError::unsupported(
                    format!("cannot rename in type \"{}\": view \"{}\" depends on it", of.name, view.name.name),
                    "Drop the view first and create it anew.",
                ));
            }
        }
        Ok(())
    }

    pub(super) fn comment_type(&mut self, name: &Name, domain: bool, comment: Option<String>) -> Result<()> {
        let def = self.own_type(name, domain)?;
        Ok(self.catalog.replace_type(TypeDef { comment, ..def })?)
    }

    /// Columns that have the type are dropped with CASCADE, else 2BP01.
    pub(super) async fn drop_user_type(&mut self, name: &Name, domain: bool, if_exists: bool, cascade: bool) -> Result<()> {
        let Some(NamedType { def, array }) = self.find_type(name) else { return self.drop_other_type(name, if_exists) };
        if array {
            let (array, of) = (format!("{}[]", def.name.name), &def.name.name);
            let message = format!("cannot drop type {array} because type {of} requires it");
            return Err(
                SqlError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message).hint(format!("You can drop type {of} instead."))
            );
        }
        if domain && def.domain().is_none() {
            return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{name}\" is not a domain")));
        }
        self.require_owner("type", &def.name.name, &def.owner)?;
        self.drop_found_type(&def, cascade).await
    }

    async fn drop_found_type(&mut self, def: &TypeDef, cascade: bool) -> Result<()> {
        let of = format!("type {}", shown(&def.name));
        let columns = self.columns_of_type(def.id);
        let over = |other: &&Arc<TypeDef>| {
            other.domain().is_some_and(|d| d.over == Some(def.id) || (d.over.is_none() && is_of(d.base, def.id)))
        };
        let domains: Vec<Arc<TypeDef>> = self.catalog.live_types().filter(over).cloned().collect();
        let defaults = self.defaults_naming(def);
        let rows: Vec<(Arc<TypeDef>, CompositeDef)> = self
            .catalog
            .live_types()
            .filter_map(|other| Some((Arc::clone(other), other.composite()?.clone())))
            .filter(|(_, composite)| composite.fields.iter().any(|(_, ty)| is_of(*ty, def.id)))
            .collect();
        let described = |(table, column): &(Arc<TableDef>, String)| format!("column {column} of table {}", table.name.name);
        let mut needing: Vec<String> = columns.iter().map(described).collect();
        needing.extend(defaults.iter().map(|at| format!("default value for {}", described(at))));
        needing.extend(domains.iter().map(|domain| format!("type {}", shown(&domain.name))));
        for (other, composite) in &rows {
            let fields = composite.fields.iter().filter(|(_, ty)| is_of(*ty, def.id));
            needing.extend(fields.map(|(field, _)| format!("column {field} of composite type {}", shown(&other.name))));
        }
        let mut lines: Vec<String> = needing.iter().map(|what| format!("{what} depends on {of}")).collect();
        let views = self.views_naming(def);
        let only = views.iter().filter(|view| !columns.iter().any(|(table, _)| self.is_over_table(view, table)));
        let only: Vec<Arc<ViewDef>> = only.cloned().collect();
        lines.extend(only.iter().map(|view| format!("view {} depends on {of}", view.name.name)));
        needing.extend(only.iter().map(|view| format!("view {}", view.name.name)));
        self.cascade(&of, lines, needing, cascade)?;
        for view in only {
            self.catalog.drop_view(&view.name)?;
        }
        for (table, column) in defaults {
            let mut changed = TableDef::clone(&*self.table_now(table.id)?);
            changed.columns.iter_mut().filter(|c| c.name == column && !c.dropped).for_each(|c| c.default = None);
            self.catalog.replace_table(changed)?;
        }
        for (table, column) in columns {
            let now = TableDef::clone(&*self.table_now(table.id)?);
            Box::pin(self.drop_column(now, &column, true, true)).await?;
        }
        for domain in domains {
            Box::pin(self.drop_found_type(&domain, true)).await?;
        }
        for (other, mut composite) in rows {
            composite.fields.retain(|(_, ty)| !is_of(*ty, def.id));
            self.catalog.replace_type(TypeDef { kind: TypeKind::Composite(composite), ..TypeDef::clone(&other) })?;
        }
        Ok(self.catalog.drop_type(&def.name)?)
    }

    /// What a schema that goes with all that is in it takes along elsewhere: columns of its types.
    pub(super) async fn drop_types_inside(&mut self, schema: &str) -> Result<()> {
        let inside: Vec<Arc<TypeDef>> = self.catalog.live_types().filter(|def| def.name.schema == schema).cloned().collect();
        for def in inside {
            for (table, column) in self.columns_of_type(def.id).into_iter().filter(|(table, _)| table.name.schema != schema) {
                let now = TableDef::clone(&*self.table_now(table.id)?);
                Box::pin(self.drop_column(now, &column, true, true)).await?;
            }
        }
        Ok(())
    }

    fn columns_of_type(&self, id: u32) -> Vec<(Arc<TableDef>, String)> {
        let tables = self.catalog.tables.values();
        let columns = tables.flat_map(|table| table.live_columns().map(move |column| (table, column)));
        let of_type = columns.filter(|(_, c)| match c.domain {
            Some(domain) => domain == id,
            None => is_of(c.ty, id),
        });
        of_type.map(|(table, column)| (Arc::clone(table), column.name.clone())).collect()
    }

    fn is_it<'a>(&'a self, id: u32) -> impl Fn(Option<&str>, &str) -> bool + 'a {
        move |schema, name| self.catalog.type_named(&self.ctx.search_path, schema, name).is_some_and(|found| found.def.id == id)
    }

    /// Columns of other types whose defaults name the type.
    fn defaults_naming(&self, def: &TypeDef) -> Vec<(Arc<TableDef>, String)> {
        let is_it = self.is_it(def.id);
        let mut found = Vec::new();
        for table in self.catalog.tables.values() {
            for column in table.live_columns().filter(|c| c.domain != Some(def.id) && !is_of(c.ty, def.id)) {
                if column.default.as_deref().is_some_and(|text| mentions_type(text, &is_it)) {
                    found.push((Arc::clone(table), column.name.clone()));
                }
            }
        }
        found
    }

    fn views_naming(&self, def: &TypeDef) -> Vec<Arc<ViewDef>> {
        let is_it = self.is_it(def.id);
        let has =
            |view: &&Arc<ViewDef>| view.columns.iter().any(|(_, ty)| is_of(*ty, def.id)) || mentions_type(&view.query, &is_it);
        self.catalog.views.values().filter(has).cloned().collect()
    }

    fn is_over_table(&self, view: &ViewDef, table: &TableDef) -> bool {
        self.dependents_of(&table.name).iter().any(|other| other.id == view.id)
    }
}

/// Whether the type is that of this number, or an array of it.
fn is_of(ty: PgType, id: u32) -> bool {
    ty.name.user().is_some_and(|user| user.oid() == id)
}

fn has_type(table: &TableDef, id: u32) -> bool {
    table.columns.iter().any(|column| is_of(column.ty, id))
}

/// As messages about dependencies name it.
fn shown(name: &Qualified) -> String {
    if name.schema == "public" { name.name.clone() } else { name.to_string() }
}

/// Texts beside defaults and checks.
fn expressions(table: &TableDef) -> Vec<&str> {
    let generated = table.live_columns().filter_map(|c| c.generated.as_deref());
    let indexes = table.computed_indexes.iter().flat_map(|index| {
        let parts = index.parts.iter().filter_map(|part| match part {
            IndexPart::Expression(text) => Some(text.as_str()),
            IndexPart::Column(_) => None,
        });
        parts.chain(index.predicate.as_deref())
    });
    generated.chain(indexes).collect()
}

/// Every text of a definition that may name a type.
fn texts_mut(table: &mut TableDef) -> Vec<&mut String> {
    let columns = table.columns.iter_mut();
    let texts = columns.flat_map(|c| c.default.iter_mut().chain(c.missing.iter_mut()).chain(c.generated.iter_mut()));
    let checks = table.checks.iter_mut().map(|check| &mut check.expression);
    let indexes = table.computed_indexes.iter_mut().flat_map(|index| {
        let parts = index.parts.iter_mut().filter_map(|part| match part {
            IndexPart::Expression(text) => Some(text),
            IndexPart::Column(_) => None,
        });
        parts.chain(index.predicate.iter_mut())
    });
    texts.chain(checks).chain(indexes).collect()
}

fn check_label(label: &str) -> Result<()> {
    if label.len() > 63 {
        return Err(SqlError::new(SqlState::INVALID_NAME, format!("invalid enum label \"{label}\""))
            .detail("Labels must be 63 bytes or less."));
    }
    Ok(())
}

/// 42809 for a type that is no enumeration.
fn values_mut(def: &mut TypeDef) -> Result<&mut Vec<EnumValue>> {
    match &mut def.kind {
        TypeKind::Enum(values) => Ok(values),
        TypeKind::Domain(_) | TypeKind::Composite(_) => {
            Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("{} is not an enum", def.name.name)))
        }
    }
}

fn position(values: &[EnumValue], label: &str) -> Result<usize> {
    values
        .iter()
        .position(|value| value.label == label)
        .ok_or_else(|| SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("\"{label}\" is not an existing enum label")))
}
