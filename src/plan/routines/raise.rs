//! RAISE.

use super::interpret::Interpreter;
use crate::error::{Result, Severity, SqlError, SqlState};
use crate::sql::procedural::{Condition, Expression, Raise, RaiseLevel, RaiseOption};

impl Interpreter<'_> {
    pub(super) async fn raise(&mut self, raise: &Raise) -> Result<()> {
        let mut state = raise.condition.as_ref().and_then(|(condition, _)| condition.state());
        let mut message = match &raise.format {
            Some(format) => Some(self.formatted(format, &raise.arguments).await?),
            None => None,
        };
        let mut named = raise.condition.as_ref().map(|(_, name)| name.clone());
        let mut others = Vec::new();
        for (option, expression) in &raise.options {
            let null = || SqlError::new(SqlState::NULL_VALUE_NOT_ALLOWED, "RAISE statement option cannot be null");
            let text = self.text(expression).await?.ok_or_else(null)?;
            match option {
                RaiseOption::Errcode if state.is_none() => {
                    let condition = Condition::of_code(&text).or_else(|_| Condition::named(&text))?;
                    state = condition.state();
                    named = Some(text);
                }
                RaiseOption::Message if message.is_none() => message = Some(text),
                RaiseOption::Errcode => return Err(given_twice("ERRCODE")),
                RaiseOption::Message => return Err(given_twice("MESSAGE")),
                option => others.push((*option, text)),
            }
        }
        let (severity, default) = severity(raise.level);
        let message = message.or(named).unwrap_or_else(|| default.code().to_owned());
        let mut error = SqlError::with_severity(severity, state.unwrap_or(default), message);
        for (option, text) in others {
            tell(&mut error, option, text);
        }
        match severity {
            Severity::Error => Err(error),
            _ => {
                self.host.notice(error);
                Ok(())
            }
        }
    }

    /// The format with the arguments' texts in the place of its signs; there are as many as arguments.
    async fn formatted(&mut self, format: &str, arguments: &[Expression]) -> Result<String> {
        let mut texts = Vec::with_capacity(arguments.len());
        for argument in arguments {
            texts.push(self.text(argument).await?.unwrap_or_else(|| "<NULL>".to_owned()));
        }
        let mut texts = texts.into_iter();
        let mut message = String::with_capacity(format.len());
        let mut chars = format.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '%' if chars.next_if_eq(&'%').is_some() => message.push('%'),
                '%' => message.push_str(&texts.next().unwrap_or_default()),
                c => message.push(c),
            }
        }
        Ok(message)
    }
}

fn severity(level: RaiseLevel) -> (Severity, SqlState) {
    match level {
        RaiseLevel::Debug => (Severity::Debug, SqlState::SUCCESSFUL_COMPLETION),
        RaiseLevel::Log => (Severity::Log, SqlState::SUCCESSFUL_COMPLETION),
        RaiseLevel::Info => (Severity::Info, SqlState::SUCCESSFUL_COMPLETION),
        RaiseLevel::Notice => (Severity::Notice, SqlState::SUCCESSFUL_COMPLETION),
        RaiseLevel::Warning => (Severity::Warning, SqlState::WARNING),
        RaiseLevel::Exception => (Severity::Error, SqlState::RAISE_EXCEPTION),
    }
}

fn tell(error: &mut SqlError, option: RaiseOption, text: String) {
    let fields = error.fields_mut();
    let place = match option {
        RaiseOption::Detail => &mut fields.detail,
        RaiseOption::Hint => &mut fields.hint,
        RaiseOption::Column => &mut fields.column,
        RaiseOption::Constraint => &mut fields.constraint,
        RaiseOption::Datatype => &mut fields.data_type,
        RaiseOption::Table => &mut fields.table,
        RaiseOption::Schema => &mut fields.schema,
        RaiseOption::Errcode | RaiseOption::Message => return,
    };
    *place = Some(text);
}

fn given_twice(option: &str) -> SqlError {
    SqlError::syntax(format!("RAISE option already specified: {option}"))
}
