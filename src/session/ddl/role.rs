//! CREATE, ALTER and DROP ROLE, ALTER ROLE … SET, and membership.
//!
//! Passwords become SCRAM verifiers before they are kept; neither is ever shown.

use super::super::Session;
use super::super::roles::is_member;
use crate::auth::stored_password;
use crate::error::{Result, SqlError, SqlState};
use crate::history::{PUBLIC, RoleDef};
use crate::sql::{Ddl, GrantObjects, Name, ObjectKind, RoleOptions};

impl Session {
    pub(super) async fn define_role(&mut self, ddl: &Ddl) -> Result<()> {
        match ddl {
            Ddl::CreateRole { name, options } => self.create_role(name, options).await,
            Ddl::AlterRole { name, options } => self.alter_role(name, options).await,
            Ddl::AlterRoleSet { name, setting, value } => {
                self.alter_role_setting(name, setting.as_deref(), value.as_deref()).await
            }
            Ddl::Drop { kind: ObjectKind::Role, names, if_exists, .. } => self.drop_roles(names, *if_exists).await,
            Ddl::Grant(grant) | Ddl::Revoke(grant) => {
                let GrantObjects::Roles(groups) = &grant.objects else {
                    return Err(SqlError::internal("a grant of privileges went astray"));
                };
                self.grant_roles(groups, &grant.roles, matches!(ddl, Ddl::Grant(_))).await
            }
            _ => Err(SqlError::internal("a statement about the database went astray")),
        }
    }

    fn may_manage_roles(&self) -> (bool, bool) {
        let role = self.shared.tenancy.role(&self.current_user());
        role.map_or((false, false), |role| (role.superuser, role.superuser || role.create_role))
    }

    async fn create_role(&mut self, name: &str, options: &RoleOptions) -> Result<()> {
        let (superuser, may) = self.may_manage_roles();
        if !may {
            return Err(permission_denied("create role"));
        }
        self.refuse_escalation(superuser, options)?;
        check_role_name(name)?;
        let verifier = self.verifier(options)?.flatten();
        let role = RoleDef {
            id: 0,
            name: name.to_owned(),
            superuser: options.superuser.unwrap_or(false),
            login: options.login.unwrap_or(false),
            create_database: options.create_database.unwrap_or(false),
            create_role: options.create_role.unwrap_or(false),
            load_history: options.load_history.unwrap_or(false),
            verifier,
            member_of: options.in_roles.clone(),
            settings: Default::default(),
        };
        self.shared.tenancy.create_role(role).await
    }

    async fn alter_role(&mut self, name: &str, options: &RoleOptions) -> Result<()> {
        let (superuser, may) = self.may_manage_roles();
        let target = self.known_role(name)?;
        // Everybody may change the password of their own role, and nothing else of it.
        let only_password = RoleOptions { password: options.password.clone(), ..RoleOptions::default() } == *options;
        let own = only_password && self.current_user() == name;
        if !own && (!may || (target.superuser && !superuser)) {
            return Err(permission_denied("alter role"));
        }
        self.refuse_escalation(superuser, options)?;
        if target.superuser && options.superuser == Some(false) && self.superusers() == 1 {
            return Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "the last superuser cannot cease to be one"));
        }
        let verifier = self.verifier(options)?;
        let options = options.clone();
        let change = move |role: &mut RoleDef| {
            role.superuser = options.superuser.unwrap_or(role.superuser);
            role.login = options.login.unwrap_or(role.login);
            role.create_database = options.create_database.unwrap_or(role.create_database);
            role.create_role = options.create_role.unwrap_or(role.create_role);
            role.load_history = options.load_history.unwrap_or(role.load_history);
            if let Some(verifier) = verifier {
                role.verifier = verifier;
            }
            for group in options.in_roles {
                if !role.member_of.contains(&group) {
                    role.member_of.push(group);
                }
            }
        };
        self.shared.tenancy.alter_role(name, change).await
    }

    async fn alter_role_setting(&mut self, name: &str, setting: Option<&str>, value: Option<&str>) -> Result<()> {
        let (superuser, may) = self.may_manage_roles();
        let target = self.known_role(name)?;
        let own = self.current_user() == name;
        if !own && (!may || (target.superuser && !superuser)) {
            return Err(permission_denied("alter role"));
        }
        let key = setting.map(|setting| match super::super::settings::table::find(setting) {
            Some(definition) => definition.key(),
            None => setting.to_ascii_lowercase(),
        });
        let value = match (setting, value) {
            (Some(setting), Some(value)) => Some(self.settings.check_only(setting, value)?),
            _ => None,
        };
        let change = move |role: &mut RoleDef| match (key, value) {
            (None, _) => role.settings.clear(),
            (Some(key), None) => drop(role.settings.remove(&key)),
            (Some(key), Some(value)) => drop(role.settings.insert(key, value)),
        };
        self.shared.tenancy.alter_role(name, change).await
    }

    async fn drop_roles(&mut self, names: &[Name], if_exists: bool) -> Result<()> {
        let (superuser, may) = self.may_manage_roles();
        if !may {
            return Err(permission_denied("drop role"));
        }
        for name in names.iter().map(|name| name.name.as_str()) {
            let Some(role) = self.shared.tenancy.role(name) else {
                if if_exists {
                    self.notice(format!("role \"{name}\" does not exist, skipping"));
                    continue;
                }
                return Err(no_role(name));
            };
            if role.superuser && !superuser {
                return Err(SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, "must be superuser to drop superusers"));
            }
            if name == self.user || name == self.current_user() {
                return Err(SqlError::new(SqlState::OBJECT_IN_USE, "current user cannot be dropped"));
            }
            if role.superuser && self.superusers() == 1 {
                return Err(SqlError::new(SqlState::OBJECT_IN_USE, "the last superuser cannot be dropped"));
            }
            self.shared.tenancy.drop_role(name).await?;
        }
        Ok(())
    }

    async fn grant_roles(&mut self, groups: &[String], members: &[String], grant: bool) -> Result<()> {
        let (superuser, may) = self.may_manage_roles();
        for group in groups {
            let role = self.known_role(group)?;
            if !may || (role.superuser && !superuser) {
                return Err(SqlError::new(
                    SqlState::INSUFFICIENT_PRIVILEGE,
                    format!("must have admin option on role \"{group}\""),
                ));
            }
        }
        for member in members {
            self.known_role(member)?;
            for group in groups {
                if grant && is_member(&self.shared.tenancy, group, member) {
                    let message = format!("role \"{group}\" is a member of role \"{member}\"");
                    return Err(SqlError::new(SqlState::INVALID_GRANT_OPERATION, message));
                }
            }
            let groups = groups.to_vec();
            let change = move |role: &mut RoleDef| {
                role.member_of.retain(|held| !groups.contains(held));
                if grant {
                    role.member_of.extend(groups);
                }
            };
            self.shared.tenancy.alter_role(member, change).await?;
        }
        Ok(())
    }

    fn known_role(&self, name: &str) -> Result<std::sync::Arc<RoleDef>> {
        self.shared.tenancy.role(name).ok_or_else(|| no_role(name))
    }

    fn superusers(&self) -> usize {
        self.shared.tenancy.roles().iter().filter(|role| role.superuser).count()
    }

    /// Only a superuser gives what reaches beyond roles: superuser, and writing the past.
    fn refuse_escalation(&self, superuser: bool, options: &RoleOptions) -> Result<()> {
        if superuser {
            return Ok(());
        }
        if options.superuser.is_some() {
            return Err(SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, "must be superuser to change superuser attribute"));
        }
        if options.load_history.is_some() {
            return Err(SqlError::new(
                SqlState::INSUFFICIENT_PRIVILEGE,
                "must be superuser to change the attribute that loads history",
            ));
        }
        for group in &options.in_roles {
            if self.shared.tenancy.role(group).is_some_and(|role| role.superuser) {
                return Err(SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, "must be superuser to grant superuser roles"));
            }
        }
        Ok(())
    }

    /// `Some(None)` takes the password away.
    fn verifier(&self, options: &RoleOptions) -> Result<Option<Option<String>>> {
        match &options.password {
            None => Ok(None),
            Some(None) => Ok(Some(None)),
            Some(Some(given)) => Ok(Some(Some(stored_password(given, self.shared.entropy.as_ref())?))),
        }
    }
}

pub(super) fn permission_denied(what: &str) -> SqlError {
    SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, format!("permission denied to {what}"))
}

fn no_role(name: &str) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_OBJECT, format!("role \"{name}\" does not exist"))
}

fn check_role_name(name: &str) -> Result<()> {
    if name == PUBLIC || name == "none" || name.starts_with("pg_") {
        return Err(SqlError::new(SqlState::RESERVED_NAME, format!("role name \"{name}\" is reserved")));
    }
    Ok(())
}
