//! CREATE and ALTER DOMAIN: conditions on a value that every column and cast of the domain keeps to.
//!
//! What a new condition asks of rows that are there already is asked here; of new rows, in `plan`.

use super::verify::parse_expression;
use super::{Change, quoted, quoted_name};
use crate::error::{Result, SqlError, SqlState};
use crate::history::{CheckDef, DomainDef, TypeDef, TypeKind};
use crate::sql::rename::with_value;
use crate::sql::{AlterType, CreateDomain};

impl Change {
    pub(super) async fn create_domain(&mut self, create: &CreateDomain) -> Result<()> {
        let name = self.new_name(&create.name)?;
        let (base, over) = self.written_type(create.ty, create.own.as_ref())?;
        let (id, array_id) = (self.catalog.ids.next(), self.catalog.ids.next());
        let mut domain = DomainDef { base, over, not_null: create.not_null, default: create.default.clone(), checks: Vec::new() };
        for (given, expression) in &create.checks {
            let check = self.new_check(&name.name, &domain, given.as_deref(), expression).await?;
            domain.checks.push(check);
        }
        self.verify_default(&domain).await?;
        self.create_user_type(id, array_id, name, TypeKind::Domain(domain))
    }

    async fn new_check(&self, name: &str, domain: &DomainDef, given: Option<&str>, expression: &str) -> Result<CheckDef> {
        let taken = |name: &str| domain.checks.iter().any(|check| check.name == name);
        let name = match given {
            Some(given) if taken(given) => {
                let message = format!("constraint \"{given}\" for domain \"{name}\" already exists");
                return Err(SqlError::new(SqlState::DUPLICATE_OBJECT, message));
            }
            Some(given) => given.to_owned(),
            None => {
                let base = format!("{name}_check");
                let numbered = std::iter::once(base.clone()).chain((1u32..).map(|n| format!("{base}{n}")));
                numbered.into_iter().find(|name| !taken(name)).unwrap_or(base)
            }
        };
        let value = format!("CAST(NULL AS {})", domain.base.full_name());
        self.analyse(&format!("SELECT ({})::boolean", with_value(expression, &value)?)).await?;
        Ok(CheckDef { id: self.catalog.ids.next(), name, expression: expression.to_owned() })
    }

    async fn verify_default(&self, domain: &DomainDef) -> Result<()> {
        if let Some(default) = &domain.default {
            parse_expression(default)?;
            self.analyse(&format!("SELECT CAST(({default}) AS {})", domain.base.full_name())).await?;
        }
        Ok(())
    }

    /// `def` is a domain.
    pub(super) async fn alter_domain(&mut self, mut def: TypeDef, action: &AlterType) -> Result<()> {
        let TypeKind::Domain(domain) = &mut def.kind else {
            return Err(SqlError::internal("a domain's clause for a type that is none"));
        };
        let name = def.name.name.clone();
        match action {
            AlterType::SetDefault(default) => {
                domain.default.clone_from(default);
                self.verify_default(domain).await?;
            }
            AlterType::SetNotNull(not_null) => {
                if *not_null {
                    self.verify_domain_values(
                        def.id,
                        |column| format!("{column} IS NULL"),
                        |column, table| {
                            SqlError::new(
                                SqlState::NOT_NULL_VIOLATION,
                                format!("column \"{column}\" of table \"{table}\" contains null values"),
                            )
                        },
                    )
                    .await?;
                }
                domain.not_null = *not_null;
            }
            AlterType::AddCheck { name: given, expression, not_valid } => {
                let check = self.new_check(&name, domain, given.as_deref(), expression).await?;
                if !not_valid {
                    self.verify_domain_check(def.id, expression).await?;
                }
                domain.checks.push(check);
            }
            AlterType::DropConstraint { name: constraint, if_exists } => {
                let before = domain.checks.len();
                domain.checks.retain(|check| check.name != *constraint);
                if domain.checks.len() == before {
                    let message = format!("constraint \"{constraint}\" of domain \"{name}\" does not exist");
                    if *if_exists {
                        self.notice(format!("{message}, skipping"));
                        return Ok(());
                    }
                    return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message));
                }
            }
            AlterType::RenameConstraint { from, to } => {
                if domain.checks.iter().any(|check| check.name == *to) {
                    let message = format!("constraint \"{to}\" for domain {name} already exists");
                    return Err(SqlError::new(SqlState::DUPLICATE_OBJECT, message));
                }
                let Some(check) = domain.checks.iter_mut().find(|check| check.name == *from) else {
                    let message = format!("constraint \"{from}\" for domain {name} does not exist");
                    return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message));
                };
                to.clone_into(&mut check.name);
            }
            AlterType::ValidateConstraint(constraint) => {
                let Some(check) = domain.checks.iter().find(|check| check.name == *constraint) else {
                    let message = format!("constraint \"{constraint}\" of domain \"{name}\" does not exist");
                    return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message));
                };
                self.verify_domain_check(def.id, &check.expression).await?;
            }
            AlterType::Rename(_)
            | AlterType::SetSchema(_)
            | AlterType::OwnerTo(_)
            | AlterType::AddValue { .. }
            | AlterType::RenameValue { .. } => return Err(SqlError::internal("a type's clause went astray")),
        }
        Ok(self.catalog.replace_type(def)?)
    }

    async fn verify_domain_check(&self, id: u32, expression: &str) -> Result<()> {
        // Broken texts were refused before.
        let breaks = |column: &str| format!("NOT ({})", with_value(expression, column).unwrap_or_default());
        self.verify_domain_values(id, breaks, |column, table| {
            let message = format!("column \"{column}\" of table \"{table}\" contains values that violate the new constraint");
            SqlError::new(SqlState::CHECK_VIOLATION, message)
        })
        .await
    }

    /// The error for the first column of the domain, or of one over it, that has a live row with this condition.
    async fn verify_domain_values(
        &self,
        id: u32,
        condition: impl Fn(&str) -> String,
        error: impl Fn(&str, &str) -> SqlError,
    ) -> Result<()> {
        for table in self.catalog.tables.values() {
            for column in table.live_columns().filter(|c| c.domain.is_some_and(|domain| self.is_over(domain, id))) {
                let text =
                    format!("SELECT 1 FROM {} WHERE {} LIMIT 1", quoted_name(&table.name), condition(&quoted(&column.name)));
                if self.any_row(&text).await? {
                    return Err(error(&column.name, &table.name.name));
                }
            }
        }
        Ok(())
    }

    /// Whether a domain is another one or made over it.
    fn is_over(&self, domain: u32, other: u32) -> bool {
        let mut at = Some(domain);
        while let Some(id) = at {
            if id == other {
                return true;
            }
            at = self.catalog.type_by_id(id).and_then(|def| def.domain()).and_then(|domain| domain.over);
        }
        false
    }
}
