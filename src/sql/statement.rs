//! What a statement is, after parsing: queries and DML as sqlparser's tree with every time-travel spelling
//! brought to one form, everything else as plain values.

use datafusion::sql::sqlparser::ast;

mod routine;

pub use routine::*;

use super::procedural::CodeBlock;
use crate::error::{Result, SqlError, SqlState};
use crate::types::{Identity, OnCommit, PgType, Qualified};

/// How a session calls the schema of its temporary relations.
const TEMPORARY: &str = "pg_temp";

/// One statement of a query text.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The statement's own text, without context comments.
    pub text: String,
    /// Where it begins in the text it came in, in characters; added to positions of later errors.
    pub offset: usize,
    pub statement: Statement,
    /// A context comment's JSON object (`/*Bemi {…} Bemi*/`), when there was one and it parsed.
    pub context: Option<String>,
    /// NOTICEs that parsing gave rise to.
    pub notices: Vec<String>,
}

/// A possibly schema-qualified name as written, identifiers folded. The schema `pg_temp` is the session's own, also where
/// TEMPORARY was written in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub schema: Option<String>,
    pub name: String,
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one per statement; what nests is boxed")]
pub enum Statement {
    /// SELECT, VALUES, TABLE, WITH … SELECT.
    Query(Box<ast::Query>),
    Insert(Box<ast::Insert>),
    Update(Box<ast::Update>),
    Delete(Box<ast::Delete>),
    Merge(Box<Merge>),
    /// A query or write behind WITH queries that write.
    With {
        writes: Vec<WithWrite>,
        main: Box<Statement>,
    },
    Explain {
        options: ExplainOptions,
        inner: Box<Statement>,
    },
    Copy(Box<Copy>),
    Ddl(Box<Ddl>),
    Transaction(TransactionStatement),
    Set(SetStatement),
    Show(ShowStatement),
    /// RESET name (`None` is RESET ALL).
    Reset(Option<String>),
    /// DISCARD ALL, and the forms that are part of it.
    Discard(Discard),
    Prepare {
        name: String,
        types: Vec<(PgType, Option<OwnType>)>,
        statement: Box<Parsed>,
    },
    Execute {
        name: String,
        arguments: Vec<ast::Expr>,
    },
    /// DEALLOCATE name (`None` is ALL).
    Deallocate(Option<String>),
    Declare(Box<Declare>),
    Fetch(Fetch),
    /// CLOSE name (`None` is ALL).
    Close(Option<String>),
    Listen(String),
    /// UNLISTEN channel (`None` is `*`).
    Unlisten(Option<String>),
    Notify {
        channel: String,
        payload: String,
    },
    Upkeep(Upkeep),
    Do(Box<CodeBlock>),
    /// CALL: a function's call.
    Call(Box<ast::Expr>),
    Lock(LockTable),
}

/// A WITH query that writes: an Insert, Update or Delete. What it returns is called by its name in the schema
/// [`super::RETURNED`].
#[derive(Clone, Debug)]
pub struct WithWrite {
    pub name: String,
    pub statement: Statement,
}

/// `MERGE INTO table USING source ON condition WHEN …`.
#[derive(Clone, Debug)]
pub struct Merge {
    /// A table by its name, with at most an alias.
    pub table: ast::TableFactor,
    pub source: ast::TableFactor,
    pub on: ast::Expr,
    pub clauses: Vec<MergeClause>,
}

/// What becomes of rows of which `condition` holds and none before it did.
#[derive(Clone, Debug)]
pub struct MergeClause {
    /// Whether the source row has a target row.
    pub matched: bool,
    pub condition: Option<ast::Expr>,
    pub action: MergeAction,
}

#[derive(Clone, Debug)]
pub enum MergeAction {
    Nothing,
    Update(Vec<ast::Assignment>),
    Delete,
    /// `columns` empty for all; `values` is `None` for DEFAULT VALUES.
    Insert {
        columns: Vec<ast::ObjectName>,
        values: Option<Vec<ast::Expr>>,
        overriding: bool,
    },
}

/// VACUUM and its like: there is nothing to do for them.
#[derive(Clone, Debug)]
pub struct Upkeep {
    pub tag: &'static str,
    /// Not inside a transaction block.
    pub alone: bool,
    /// What must be there.
    pub relations: Vec<Name>,
    /// Indexes to be made anew.
    pub indexes: Vec<Name>,
}

/// LOCK TABLE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockTable {
    pub tables: Vec<Name>,
    pub mode: TableLock,
    pub no_wait: bool,
}

/// PostgreSQL's modes of table locks, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableLock {
    AccessShare,
    RowShare,
    RowExclusive,
    ShareUpdateExclusive,
    Share,
    ShareRowExclusive,
    Exclusive,
    AccessExclusive,
}

/// DECLARE name CURSOR FOR query.
#[derive(Clone, Debug)]
pub struct Declare {
    pub name: String,
    pub binary: bool,
    /// `Some(false)` is NO SCROLL.
    pub scroll: Option<bool>,
    pub hold: bool,
    pub query: Box<ast::Query>,
}

/// FETCH or MOVE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    pub cursor: String,
    pub to: FetchTo,
    /// MOVE: where the rows are passed over.
    pub only_move: bool,
}

/// Where FETCH goes, in rows; a cursor stands on a row, before the first (0) or behind the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchTo {
    /// So many rows on, all of them; negative is backwards.
    Rows(i64),
    AllForward,
    AllBackward,
    /// One row: counted from the first, negative from the last.
    Absolute(i64),
    /// One row: counted from where the cursor stands.
    Relative(i64),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExplainOptions {
    pub analyze: bool,
    pub verbose: bool,
    /// FORMAT JSON; else text.
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discard {
    All,
    Plans,
    Sequences,
    Temp,
}

#[derive(Clone, Debug)]
pub enum TransactionStatement {
    Begin(TransactionModes),
    Commit {
        chain: bool,
    },
    Rollback {
        chain: bool,
    },
    Savepoint(String),
    Release(String),
    RollbackTo(String),
    /// SET TRANSACTION.
    Set(TransactionModes),
    /// SET SESSION CHARACTERISTICS AS TRANSACTION.
    SetSession(TransactionModes),
    /// SET CONSTRAINTS; no names for ALL.
    SetConstraints {
        names: Vec<Name>,
        deferred: bool,
    },
}

#[derive(Clone, Debug, Default)]
pub struct TransactionModes {
    /// As PostgreSQL shows it: `read committed`, `repeatable read`, `serializable`, `read uncommitted`.
    pub isolation: Option<&'static str>,
    pub read_only: Option<bool>,
    /// `AS OF SYSTEM TIME x`, `AS OF TIMESTAMP x`.
    pub as_of: Option<AsOfValue>,
    /// SET TRANSACTION SNAPSHOT: the name of an exported one.
    pub snapshot: Option<String>,
}

/// An instant as written: an expression of constants to evaluate, or a commit number.
#[derive(Clone, Debug)]
pub enum AsOfValue {
    Time(ast::Expr),
    Commit(ast::Expr),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetStatement {
    pub local: bool,
    /// Lower case, `chronogate.as_of`, `timezone` (for SET TIME ZONE), `search_path` …
    pub name: String,
    /// `None` for DEFAULT. Lists are joined with `, `, quoted where needed.
    pub value: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShowStatement {
    All,
    Name(String),
}

#[derive(Clone, Debug)]
pub struct Copy {
    pub source: CopySource,
    pub direction: CopyDirection,
    pub options: CopyOptions,
}

#[derive(Clone, Debug)]
pub enum CopySource {
    /// A table, a view, or `t__history`; columns empty for all.
    Relation {
        name: Name,
        columns: Vec<String>,
    },
    Query(Box<ast::Query>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyDirection {
    FromStdin,
    ToStdout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyFormat {
    Text,
    Csv,
    Binary,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyOptions {
    pub format: CopyFormat,
    pub delimiter: u8,
    pub null: String,
    pub header: bool,
    pub quote: u8,
    pub escape: u8,
    pub force_quote: Vec<String>,
}

/// A change of definitions.
#[derive(Clone, Debug)]
pub enum Ddl {
    CreateTable(CreateTable),
    CreateTableAs(CreateTableAs),
    CreateMaterializedView {
        create: CreateTableAs,
        query_text: String,
    },
    /// REFRESH MATERIALIZED VIEW.
    Refresh {
        name: Name,
        concurrently: bool,
        with_data: bool,
    },
    AlterTable {
        name: Name,
        if_exists: bool,
        actions: Vec<AlterTable>,
    },
    Drop {
        kind: ObjectKind,
        names: Vec<Name>,
        if_exists: bool,
        cascade: bool,
    },
    Truncate {
        tables: Vec<Name>,
        restart_identity: bool,
        cascade: bool,
    },
    CreateIndex(CreateIndex),
    CreateSchema {
        name: String,
        if_not_exists: bool,
        owner: Option<String>,
    },
    CreateView {
        name: Name,
        or_replace: bool,
        columns: Vec<String>,
        query_text: String,
        query: Box<ast::Query>,
        /// WITH CHECK OPTION, and whether it is LOCAL.
        check_option: Option<bool>,
    },
    CreateSequence {
        name: Name,
        if_not_exists: bool,
        options: SequenceOptions,
    },
    AlterSequence {
        name: Name,
        if_exists: bool,
        options: SequenceOptions,
    },
    CreateEnum {
        name: Name,
        labels: Vec<String>,
    },
    CreateDomain(CreateDomain),
    /// CREATE TYPE … AS (fields): names and types.
    CreateComposite {
        name: Name,
        fields: Vec<(String, PgType, Option<OwnType>)>,
    },
    /// ALTER TYPE, or ALTER DOMAIN.
    AlterType {
        name: Name,
        domain: bool,
        action: AlterType,
    },
    CreateRole {
        name: String,
        options: RoleOptions,
    },
    AlterRole {
        name: String,
        options: RoleOptions,
    },
    /// ALTER ROLE name SET setting = value; `None` value resets, `None` setting resets all.
    AlterRoleSet {
        name: String,
        setting: Option<String>,
        value: Option<String>,
    },
    CreateDatabase {
        name: String,
        if_not_exists: bool,
    },
    Grant(Grant),
    Revoke(Grant),
    /// ALTER VIEW, INDEX or SEQUENCE in the forms that all relations have.
    AlterRelation {
        kind: ObjectKind,
        name: Name,
        if_exists: bool,
        action: RelationAction,
    },
    RenameSchema {
        name: String,
        to: String,
    },
    SchemaOwner {
        name: String,
        role: String,
    },
    CreateRoutine(Box<CreateRoutine>),
    DropRoutine {
        kind: RoutineKind,
        routines: Vec<RoutineName>,
        if_exists: bool,
        cascade: bool,
    },
    AlterRoutine {
        kind: RoutineKind,
        routine: RoutineName,
        action: AlterRoutine,
    },
    CreateTrigger(Box<CreateTrigger>),
    DropTrigger {
        name: String,
        table: Name,
        if_exists: bool,
        cascade: bool,
    },
    RenameTrigger {
        name: String,
        table: Name,
        to: String,
    },
    CreateExtension(CreateExtension),
    /// ALTER EXTENSION … UPDATE [TO version].
    UpdateExtension {
        name: String,
        version: Option<String>,
    },
    DropExtension {
        names: Vec<String>,
        if_exists: bool,
    },
    /// COMMENT ON; `None` takes the comment away.
    Comment {
        object: Commented,
        text: Option<String>,
    },
}

#[derive(Clone, Debug)]
pub struct CreateExtension {
    pub name: String,
    pub if_not_exists: bool,
    pub schema: Option<String>,
    pub version: Option<String>,
}

#[derive(Clone, Debug)]
pub struct CreateDomain {
    pub name: Name,
    pub ty: PgType,
    pub own: Option<OwnType>,
    /// SQL text.
    pub default: Option<String>,
    pub not_null: bool,
    /// Names and conditions on VALUE, SQL text.
    pub checks: Vec<(Option<String>, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlterType {
    Rename(String),
    SetSchema(String),
    OwnerTo(String),
    AddValue {
        label: String,
        if_not_exists: bool,
        /// Whether before, and what.
        place: Option<(bool, String)>,
    },
    RenameValue {
        from: String,
        to: String,
    },
    SetDefault(Option<String>),
    SetNotNull(bool),
    AddCheck {
        name: Option<String>,
        expression: String,
        not_valid: bool,
    },
    DropConstraint {
        name: String,
        if_exists: bool,
    },
    RenameConstraint {
        from: String,
        to: String,
    },
    ValidateConstraint(String),
}

/// The name of a type that is none of PostgreSQL's, to be looked up in a catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnType {
    pub name: Name,
    /// Where it stands in the statement, in characters from 1.
    pub position: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelationAction {
    Rename(String),
    SetSchema(String),
    OwnerTo(String),
}

/// What a comment is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Commented {
    /// A table, view, index or sequence.
    Relation(ObjectKind, Name),
    Column(Name, String),
    /// A type, or a domain.
    Type {
        name: Name,
        domain: bool,
    },
    Constraint {
        table: Name,
        name: String,
    },
    Schema(String),
    Extension(String),
    Routine(RoutineKind, RoutineName),
    Trigger {
        name: String,
        table: Name,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    Table,
    View,
    MaterializedView,
    Index,
    Schema,
    Sequence,
    Type,
    Domain,
    Role,
    Database,
}

#[derive(Clone, Debug)]
pub struct CreateTable {
    pub name: Name,
    pub if_not_exists: bool,
    pub columns: Vec<ColumnSpec>,
    /// Table constraints and those written at columns, in order.
    pub constraints: Vec<ConstraintSpec>,
    pub on_commit: OnCommit,
    pub likes: Vec<LikeSpec>,
}

/// `LIKE table [INCLUDING …]` among the elements of a table.
#[derive(Clone, Debug)]
pub struct LikeSpec {
    /// How many columns were written before it.
    pub at: usize,
    pub table: Name,
    pub including: Including,
}

/// What LIKE takes beside names, types and NOT NULL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Including {
    pub comments: bool,
    pub constraints: bool,
    pub defaults: bool,
    pub generated: bool,
    pub identity: bool,
    pub indexes: bool,
}

/// CREATE TABLE … AS, and SELECT … INTO; and what CREATE MATERIALIZED VIEW has in common with them.
#[derive(Clone, Debug)]
pub struct CreateTableAs {
    pub name: Name,
    pub if_not_exists: bool,
    /// Names for the first columns.
    pub columns: Vec<String>,
    pub query: Box<ast::Query>,
    pub with_data: bool,
    pub on_commit: OnCommit,
}

#[derive(Clone, Debug)]
pub struct ColumnSpec {
    pub name: String,
    /// For a type of a user's only whether it is an array.
    pub ty: PgType,
    pub own: Option<OwnType>,
    /// The domain that `own` is found to be.
    pub domain: Option<u32>,
    pub not_null: bool,
    /// SQL text.
    pub default: Option<String>,
    /// SQL text of what the column is computed from.
    pub generated: Option<String>,
    pub identity: Option<(Identity, SequenceOptions)>,
    /// smallserial, serial, bigserial: an owned sequence and its nextval as default.
    pub serial: bool,
}

impl ColumnSpec {
    /// A column that has nothing but its type.
    pub fn plain(name: &str, ty: PgType) -> Self {
        Self {
            name: name.to_owned(),
            ty,
            own: None,
            domain: None,
            not_null: false,
            default: None,
            generated: None,
            identity: None,
            serial: false,
        }
    }
}

#[derive(Clone, Debug)]
pub struct ConstraintSpec {
    pub name: Option<String>,
    pub kind: ConstraintKind,
    pub timing: ConstraintTiming,
}

/// `[NOT] DEFERRABLE`, `INITIALLY DEFERRED | IMMEDIATE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConstraintTiming {
    pub deferrable: bool,
    pub deferred: bool,
}

/// `FOREIGN KEY (columns) REFERENCES table (referenced) …`
#[derive(Clone, Debug)]
pub struct ForeignKeySpec {
    pub columns: Vec<String>,
    pub table: Name,
    /// Empty for the table's primary key.
    pub referenced: Vec<String>,
    pub on_delete: KeyAction,
    pub on_update: KeyAction,
    /// Columns that ON DELETE SET NULL or SET DEFAULT sets; empty for all.
    pub set_columns: Vec<String>,
    pub full: bool,
    pub not_valid: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyAction {
    #[default]
    NoAction,
    Restrict,
    Cascade,
    SetNull,
    SetDefault,
}

#[derive(Clone, Debug)]
pub enum ConstraintKind {
    PrimaryKey(Vec<String>),
    Unique(Vec<String>),
    ForeignKey(Box<ForeignKeySpec>),
    /// PRIMARY KEY or UNIQUE USING INDEX.
    UsingIndex {
        primary: bool,
        index: String,
    },
    /// SQL text of the condition, and the column it was written at.
    Check {
        expression: String,
        column: Option<String>,
    },
}

#[derive(Clone, Debug)]
pub enum AlterTable {
    AddColumn {
        column: ColumnSpec,
        constraints: Vec<ConstraintSpec>,
        if_not_exists: bool,
    },
    DropColumn {
        name: String,
        if_exists: bool,
        cascade: bool,
    },
    RenameColumn {
        from: String,
        to: String,
    },
    RenameTable {
        to: String,
    },
    SetSchema {
        schema: String,
    },
    SetDefault {
        column: String,
        default: Option<String>,
    },
    SetNotNull {
        column: String,
        not_null: bool,
    },
    SetType {
        column: String,
        ty: PgType,
        own: Option<OwnType>,
        using: Option<String>,
    },
    AddConstraint(ConstraintSpec),
    DropConstraint {
        name: String,
        if_exists: bool,
        cascade: bool,
    },
    RenameConstraint {
        from: String,
        to: String,
    },
    ValidateConstraint {
        name: String,
    },
    AddIdentity {
        column: String,
        kind: Identity,
        options: SequenceOptions,
    },
    /// SET GENERATED, SET of an option of the sequence, RESTART.
    SetIdentity {
        column: String,
        kind: Option<Identity>,
        options: SequenceOptions,
    },
    DropIdentity {
        column: String,
        if_exists: bool,
    },
    DropExpression {
        column: String,
        if_exists: bool,
    },
    /// ENABLE or DISABLE TRIGGER; no name for all of them.
    SetTrigger {
        name: Option<String>,
        enabled: bool,
    },
    /// What tunes PostgreSQL's storage and changes no answer.
    Nothing,
    AlterConstraint {
        name: String,
        timing: ConstraintTiming,
    },
    OwnerTo {
        role: String,
    },
}

#[derive(Clone, Debug)]
pub struct CreateIndex {
    pub name: Option<String>,
    pub if_not_exists: bool,
    pub table: Name,
    /// The access method that it names.
    pub method: Option<String>,
    pub parts: Vec<IndexElement>,
    pub include: Vec<String>,
    /// SQL text of which rows it covers.
    pub predicate: Option<String>,
    pub unique: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexElement {
    pub key: IndexKey,
    /// Whether ASC, DESC or NULLS was written.
    pub ordered: bool,
    pub descending: bool,
    pub nulls_first: bool,
    pub operator_class: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexKey {
    Column(String),
    /// SQL text.
    Expression(String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SequenceOptions {
    pub start: Option<i64>,
    pub increment: Option<i64>,
    /// `Some(None)` is NO MINVALUE.
    pub min: Option<Option<i64>>,
    pub max: Option<Option<i64>>,
    pub cycle: Option<bool>,
    /// RESTART [WITH n].
    pub restart: Option<Option<i64>>,
    /// OWNED BY table.column; `Some(None)` is NONE.
    pub owned_by: Option<Option<(Name, String)>>,
    /// SEQUENCE NAME, of an identity column.
    pub name: Option<Name>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleOptions {
    pub superuser: Option<bool>,
    pub login: Option<bool>,
    pub create_database: Option<bool>,
    pub create_role: Option<bool>,
    pub load_history: Option<bool>,
    /// Plain text or a SCRAM verifier; `Some(None)` is PASSWORD NULL. Never logged.
    pub password: Option<Option<String>>,
    pub in_roles: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Grant {
    /// Upper case; `ALL` for ALL PRIVILEGES. Empty when roles are granted.
    pub privileges: Vec<String>,
    pub objects: GrantObjects,
    pub roles: Vec<String>,
}

#[derive(Clone, Debug)]
pub enum GrantObjects {
    Tables(Vec<Name>),
    AllTablesIn(Vec<String>),
    Sequences(Vec<Name>),
    AllSequencesIn(Vec<String>),
    Schemas(Vec<String>),
    Databases(Vec<String>),
    /// GRANT role TO …
    Roles(Vec<String>),
}

/// The relation a name refers to, before it is looked up in a search path.
impl Name {
    pub fn qualified(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self { schema: Some(schema.into()), name: name.into() }
    }

    /// Makes it a name in the session's own schema. 42P16 when another one was written.
    pub fn temporary(&mut self) -> Result<()> {
        match &self.schema {
            None => self.schema = Some(TEMPORARY.to_owned()),
            Some(schema) if schema == TEMPORARY => {}
            Some(_) => {
                let message = "cannot create temporary relation in non-temporary schema";
                return Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message));
            }
        }
        Ok(())
    }

    /// The name with `schema` where none was written.
    pub fn in_schema(&self, schema: &str) -> Qualified {
        Qualified::new(self.schema.as_deref().unwrap_or(schema), self.name.as_str())
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}
