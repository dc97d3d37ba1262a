//! What a client is told when something fails: one error value with PostgreSQL's fields.
//!
//! Owns SQLSTATEs and the shape of an error. Refuses causes: what a client must not see (paths, SQL of
//! the store, secrets) goes to the log where it is handled, never into these fields.

use std::fmt;

/// A five-character SQLSTATE, PostgreSQL 15's appendix A plus the few that AS OF needs.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqlState([u8; 5]);

macro_rules! sqlstates {
    ($($name:ident = $code:literal,)*) => {
        impl SqlState { $(pub const $name: SqlState = SqlState(five($code));)* }
    };
}

const fn five(code: &str) -> [u8; 5] {
    match *code.as_bytes() {
        [a, b, c, d, e] => [a, b, c, d, e],
        _ => panic!("a SQLSTATE has five characters"),
    }
}

sqlstates! {
    SUCCESSFUL_COMPLETION = "00000",
    WARNING = "01000",
    CONNECTION_FAILURE = "08006",
    TRANSACTION_RESOLUTION_UNKNOWN = "08007",
    PROTOCOL_VIOLATION = "08P01",
    FEATURE_NOT_SUPPORTED = "0A000",
    INVALID_GRANTOR = "0L000",
    INVALID_GRANT_OPERATION = "0LP01",
    STACKED_DIAGNOSTICS_ACCESSED_WITHOUT_ACTIVE_HANDLER = "0Z002",
    CARDINALITY_VIOLATION = "21000",
    ERROR_IN_ASSIGNMENT = "22005",
    STRING_DATA_RIGHT_TRUNCATION = "22001",
    NUMERIC_VALUE_OUT_OF_RANGE = "22003",
    NULL_VALUE_NOT_ALLOWED = "22004",
    INVALID_DATETIME_FORMAT = "22007",
    DATETIME_FIELD_OVERFLOW = "22008",
    INVALID_TIME_ZONE_DISPLACEMENT = "22009",
    SUBSTRING_ERROR = "22011",
    DIVISION_BY_ZERO = "22012",
    INTERVAL_FIELD_OVERFLOW = "22015",
    INVALID_CHARACTER_VALUE_FOR_CAST = "22018",
    STRING_DATA_LENGTH_MISMATCH = "22026",
    DATA_EXCEPTION = "22000",
    INVALID_ARGUMENT_FOR_LOGARITHM = "2201E",
    INVALID_ARGUMENT_FOR_POWER_FUNCTION = "2201F",
    INVALID_ARGUMENT_FOR_WIDTH_BUCKET_FUNCTION = "2201G",
    INVALID_ESCAPE_SEQUENCE = "22025",
    INVALID_REGULAR_EXPRESSION = "2201B",
    INVALID_ROW_COUNT_IN_LIMIT = "2201W",
    INVALID_ROW_COUNT_IN_OFFSET = "2201X",
    CHARACTER_NOT_IN_REPERTOIRE = "22021",
    INVALID_PARAMETER_VALUE = "22023",
    ARRAY_SUBSCRIPT_ERROR = "2202E",
    INVALID_TEXT_REPRESENTATION = "22P02",
    INVALID_BINARY_REPRESENTATION = "22P03",
    BAD_COPY_FILE_FORMAT = "22P04",
    UNTRANSLATABLE_CHARACTER = "22P05",
    INVALID_JSON_TEXT = "22032",
    INVALID_SQL_JSON_SUBSCRIPT = "22033",
    NON_NUMERIC_SQL_JSON_ITEM = "22036",
    SINGLETON_SQL_JSON_ITEM_REQUIRED = "22038",
    SQL_JSON_ARRAY_NOT_FOUND = "22039",
    SQL_JSON_MEMBER_NOT_FOUND = "2203A",
    SQL_JSON_NUMBER_NOT_FOUND = "2203B",
    SQL_JSON_OBJECT_NOT_FOUND = "2203C",
    SEQUENCE_GENERATOR_LIMIT_EXCEEDED = "2200H",
    INTEGRITY_CONSTRAINT_VIOLATION = "23000",
    RESTRICT_VIOLATION = "23001",
    NOT_NULL_VIOLATION = "23502",
    FOREIGN_KEY_VIOLATION = "23503",
    UNIQUE_VIOLATION = "23505",
    CHECK_VIOLATION = "23514",
    INVALID_CURSOR_STATE = "24000",
    INVALID_CURSOR_DEFINITION = "42P11",
    INVALID_TRANSACTION_STATE = "25000",
    ACTIVE_SQL_TRANSACTION = "25001",
    READ_ONLY_SQL_TRANSACTION = "25006",
    NO_ACTIVE_SQL_TRANSACTION = "25P01",
    IN_FAILED_SQL_TRANSACTION = "25P02",
    IDLE_IN_TRANSACTION_SESSION_TIMEOUT = "25P03",
    INVALID_SQL_STATEMENT_NAME = "26000",
    INVALID_AUTHORIZATION_SPECIFICATION = "28000",
    INVALID_PASSWORD = "28P01",
    DEPENDENT_OBJECTS_STILL_EXIST = "2BP01",
    INVALID_CURSOR_NAME = "34000",
    INVALID_CATALOG_NAME = "3D000",
    WITH_CHECK_OPTION_VIOLATION = "44000",
    EXTERNAL_ROUTINE_INVOCATION_EXCEPTION = "39000",
    INVALID_SCHEMA_NAME = "3F000",
    INVALID_SAVEPOINT_SPECIFICATION = "3B001",
    SERIALIZATION_FAILURE = "40001",
    DEADLOCK_DETECTED = "40P01",
    SYNTAX_ERROR = "42601",
    INSUFFICIENT_PRIVILEGE = "42501",
    CANNOT_COERCE = "42846",
    GROUPING_ERROR = "42803",
    WINDOWING_ERROR = "42P20",
    INVALID_RECURSION = "42P19",
    INVALID_FOREIGN_KEY = "42830",
    INVALID_NAME = "42602",
    NAME_TOO_LONG = "42622",
    RESERVED_NAME = "42939",
    DATATYPE_MISMATCH = "42804",
    INDETERMINATE_DATATYPE = "42P18",
    WRONG_OBJECT_TYPE = "42809",
    GENERATED_ALWAYS = "428C9",
    UNDEFINED_COLUMN = "42703",
    UNDEFINED_FUNCTION = "42883",
    UNDEFINED_TABLE = "42P01",
    UNDEFINED_PARAMETER = "42P02",
    UNDEFINED_OBJECT = "42704",
    DUPLICATE_COLUMN = "42701",
    DUPLICATE_CURSOR = "42P03",
    DUPLICATE_DATABASE = "42P04",
    DUPLICATE_PREPARED_STATEMENT = "42P05",
    DUPLICATE_SCHEMA = "42P06",
    DUPLICATE_TABLE = "42P07",
    DUPLICATE_ALIAS = "42712",
    DUPLICATE_OBJECT = "42710",
    AMBIGUOUS_COLUMN = "42702",
    DUPLICATE_FUNCTION = "42723",
    INVALID_FUNCTION_DEFINITION = "42P13",
    CASE_NOT_FOUND = "20000",
    FUNCTION_EXECUTED_NO_RETURN_STATEMENT = "2F005",
    AMBIGUOUS_FUNCTION = "42725",
    INVALID_COLUMN_REFERENCE = "42P10",
    INVALID_COLUMN_DEFINITION = "42611",
    INVALID_TABLE_DEFINITION = "42P16",
    INVALID_OBJECT_DEFINITION = "42P17",
    INSUFFICIENT_RESOURCES = "53000",
    DISK_FULL = "53100",
    OUT_OF_MEMORY = "53200",
    TOO_MANY_CONNECTIONS = "53300",
    PROGRAM_LIMIT_EXCEEDED = "54000",
    STATEMENT_TOO_COMPLEX = "54001",
    OBJECT_NOT_IN_PREREQUISITE_STATE = "55000",
    OBJECT_IN_USE = "55006",
    CANT_CHANGE_RUNTIME_PARAM = "55P02",
    LOCK_NOT_AVAILABLE = "55P03",
    QUERY_CANCELED = "57014",
    ADMIN_SHUTDOWN = "57P01",
    CANNOT_CONNECT_NOW = "57P03",
    IDLE_SESSION_TIMEOUT = "57P05",
    IO_ERROR = "58030",
    SNAPSHOT_TOO_OLD = "72000",
    CONFIG_FILE_ERROR = "F0000",
    RAISE_EXCEPTION = "P0001",
    NO_DATA_FOUND = "P0002",
    TOO_MANY_ROWS = "P0003",
    ASSERT_FAILURE = "P0004",
    INTERNAL_ERROR = "XX000",
    DATA_CORRUPTED = "XX001",
}

impl SqlState {
    /// The state of this code, which a user may have made up; `None` for what is not five digits and upper-case letters.
    pub fn from_code(code: &str) -> Option<Self> {
        let code: [u8; 5] = code.as_bytes().try_into().ok()?;
        code.iter().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase()).then_some(Self(code))
    }

    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XX000")
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Debug,
    Log,
    /// Shown whatever `client_min_messages` says.
    Info,
    Notice,
    Warning,
    Error,
    /// The connection ends after this one.
    Fatal,
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Log => "LOG",
            Self::Info => "INFO",
            Self::Notice => "NOTICE",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }
}

/// The fields of an ErrorResponse or NoticeResponse. Wording is PostgreSQL's: the message a lower-case
/// fact without a full stop, detail and hint whole sentences.
#[derive(Clone, Debug)]
pub struct Fields {
    pub severity: Severity,
    pub code: SqlState,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// 1-based, in characters of the statement's text as the client sent it.
    pub position: Option<usize>,
    pub schema: Option<String>,
    pub table: Option<String>,
    pub column: Option<String>,
    pub data_type: Option<String>,
    pub constraint: Option<String>,
    /// Where in a longer input (a COPY line, say) it happened.
    pub context: Option<String>,
}

/// An error a client may see. One pointer wide, so that `Result`s stay small.
#[derive(Clone, Debug)]
pub struct SqlError(Box<Fields>);

pub type Result<T, E = SqlError> = std::result::Result<T, E>;

/// An error enum that knows what a client is told; every module's error implements it with a `match`
/// that has no `_` arm.
pub trait Diagnose {
    fn diagnose(&self) -> SqlError;
}

impl SqlError {
    pub fn new(code: SqlState, message: impl Into<String>) -> Self {
        Self::with_severity(Severity::Error, code, message)
    }

    pub fn fatal(code: SqlState, message: impl Into<String>) -> Self {
        Self::with_severity(Severity::Fatal, code, message)
    }

    pub fn notice(message: impl Into<String>) -> Self {
        Self::with_severity(Severity::Notice, SqlState::SUCCESSFUL_COMPLETION, message)
    }

    pub fn warning(code: SqlState, message: impl Into<String>) -> Self {
        Self::with_severity(Severity::Warning, code, message)
    }

    /// 0A000 with a hint that says what to do instead.
    pub fn unsupported(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(SqlState::FEATURE_NOT_SUPPORTED, message).hint(hint)
    }

    pub fn syntax(message: impl Into<String>) -> Self {
        Self::new(SqlState::SYNTAX_ERROR, message)
    }

    /// A broken promise of our own; the message must still be fit for a client.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(SqlState::INTERNAL_ERROR, message)
    }

    pub fn with_severity(severity: Severity, code: SqlState, message: impl Into<String>) -> Self {
        Self(Box::new(Fields {
            severity,
            code,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            schema: None,
            table: None,
            column: None,
            data_type: None,
            constraint: None,
            context: None,
        }))
    }

    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Sets the position unless one is known already.
    pub fn at(mut self, position: usize) -> Self {
        self.0.position.get_or_insert(position);
        self
    }

    pub fn table(mut self, schema: impl Into<String>, table: impl Into<String>) -> Self {
        self.0.schema = Some(schema.into());
        self.0.table = Some(table.into());
        self
    }

    pub fn column(mut self, column: impl Into<String>) -> Self {
        self.0.column = Some(column.into());
        self
    }

    pub fn constraint(mut self, constraint: impl Into<String>) -> Self {
        self.0.constraint = Some(constraint.into());
        self
    }

    pub fn context(mut self, context: impl Into<String>) -> Self {
        self.0.context = Some(context.into());
        self
    }

    pub fn code(&self) -> SqlState {
        self.0.code
    }

    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub fn fields(&self) -> &Fields {
        &self.0
    }

    pub fn fields_mut(&mut self) -> &mut Fields {
        &mut self.0
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.0.severity.name(), self.0.code, self.0.message)
    }
}

impl std::error::Error for SqlError {}
