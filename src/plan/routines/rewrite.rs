//! Calls of users' functions in a query's tree: put in place of their definitions where those are a query, else named
//! so that the planner finds them.
//!
//! PostgreSQL's own functions come first. Arguments are brought to their places here: by name, with defaults.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Select, SelectItem, TableAlias, TableFactor, VisitMut,
    VisitorMut,
};

use super::call::{Form, call_name};
use super::inline;
use super::kinds::Names;
use super::routine::shape_of;
use crate::error::{Result, SqlError, SqlState};
use crate::history::{Catalog, RoutineDef, TEMPORARY, is_temporary_schema};
use crate::plan::StatementContext;
use crate::plan::expand::{fold, quoted, split};
use crate::sql::call::call;
use crate::sql::columns::item_name;

/// Functions within functions that are put in place.
const DEEPEST: u32 = 32;

/// What the rewriting of one statement has at hand.
pub struct Routines<'a> {
    pub catalog: &'a Arc<Catalog>,
    pub path: &'a [String],
    /// Whether a name is that of one of PostgreSQL's functions.
    pub own: &'a dyn Fn(&str) -> bool,
    /// The columns of a relation, where they are known.
    pub columns: &'a dyn Fn(Option<&str>, &str) -> Option<Vec<String>>,
    /// Whether a name is that of an aggregate.
    pub aggregates: &'a dyn Fn(&str) -> bool,
    /// Whether a subquery may take a function's place.
    pub subqueries: bool,
}

impl<'a> Routines<'a> {
    pub fn names(&self) -> Names<'a> {
        Names { catalog: self.catalog, path: self.path }
    }

    /// Routines that a name may mean: those of the first schema that has any with so many arguments, else all of it.
    pub fn named(&self, schema: Option<&str>, name: &str) -> Vec<Arc<RoutineDef>> {
        let in_schema = |schema: &str| self.catalog.routines_named(schema, name).cloned().collect::<Vec<_>>();
        match schema {
            Some(TEMPORARY) => {
                let own = self.path.iter().find(|s| is_temporary_schema(s));
                own.map(|schema| in_schema(schema)).unwrap_or_default()
            }
            Some(schema) => in_schema(schema),
            // Functions are never looked for in the schema of temporary relations.
            None if (self.own)(name) => Vec::new(),
            None => {
                let schemas = self.path.iter().filter(|schema| !is_temporary_schema(schema));
                let mut found: Vec<Arc<RoutineDef>> = Vec::new();
                for def in schemas.flat_map(|schema| in_schema(schema)) {
                    if !found.iter().any(|known| known.input_types() == def.input_types()) {
                        found.push(def);
                    }
                }
                found
            }
        }
    }
}

/// Whether there is anything that a statement could call.
pub fn any(ctx: &StatementContext) -> bool {
    !ctx.transaction.lock().catalog.routines.is_empty()
}

/// Rewrites every call inside.
pub fn rewrite(routines: &Routines<'_>, node: &mut impl VisitMut) -> Result<()> {
    rewrite_at(routines, node, 0)
}

pub fn rewrite_at(routines: &Routines<'_>, node: &mut impl VisitMut, depth: u32) -> Result<()> {
    if depth > DEEPEST {
        return Err(SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, "stack depth limit exceeded"));
    }
    match node.visit(&mut Rewriter { routines, depth }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Rewriter<'a, 'r> {
    routines: &'r Routines<'a>,
    depth: u32,
}

/// A call with its arguments in their places.
struct Placed {
    candidates: Vec<Arc<RoutineDef>>,
    arguments: Vec<Expr>,
}

impl Rewriter<'_, '_> {
    /// What a call means; `None` for one of PostgreSQL's functions, or of nobody's.
    fn placed(&self, name: &ast::ObjectName, args: &[FunctionArg]) -> Result<Option<Placed>> {
        let Some((schema, function)) = split(name) else { return Ok(None) };
        let mut named = self.routines.named(schema.as_deref(), &function);
        if named.is_empty() {
            return Ok(None);
        }
        if named.iter().all(|def| def.procedure) {
            let message = format!("{function}() is a procedure");
            return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message).hint("To call a procedure, use CALL."));
        }
        named.retain(|def| !def.procedure);
        arranged(&function, named, args).map(Some)
    }

    fn expression(&self, function: &ast::Function) -> Result<Option<Expr>> {
        let args = match &function.args {
            FunctionArguments::List(list) if list.duplicate_treatment.is_none() && list.clauses.is_empty() => &list.args[..],
            FunctionArguments::None => &[],
            _ => return Ok(None),
        };
        if function.over.is_some() || function.filter.is_some() || !function.within_group.is_empty() {
            return Ok(None);
        }
        let Some(Placed { candidates, arguments }) = self.placed(&function.name, args)? else { return Ok(None) };
        if let [def] = &candidates[..] {
            if def.set {
                let list = call_of(Form::Values, &candidates, arguments);
                return Ok(Some(call("unnest", vec![list])));
            }
            if let Some(inlined) = inline::expression(self.routines, def, &arguments, self.depth)? {
                return Ok(Some(inlined));
            }
        }
        if candidates.iter().any(|def| def.set) {
            let list = call_of(Form::Values, &candidates, arguments);
            return Ok(Some(call("unnest", vec![list])));
        }
        Ok(Some(call_of(Form::Value, &candidates, arguments)))
    }

    fn relation(&self, factor: &TableFactor) -> Result<Option<TableFactor>> {
        let (name, args, ordinality, alias) = match factor {
            TableFactor::Table { name, args: Some(args), with_ordinality, alias, version: None, .. } => {
                (name, &args.args, *with_ordinality, alias)
            }
            TableFactor::Function { name, args, with_ordinality, alias, .. } => (name, args, *with_ordinality, alias),
            _ => return Ok(None),
        };
        let Some(Placed { candidates, arguments }) = self.placed(name, args)? else { return Ok(None) };
        let mut shapes = Vec::new();
        for def in &candidates {
            shapes.push(shape_of(def, self.routines.names())?.ok_or_else(|| {
                SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "trigger functions can only be called as triggers")
            })?);
        }
        let Some((def, shape)) = candidates.first().zip(shapes.first()) else { return Ok(None) };
        if shapes.iter().any(|other| other.columns != shape.columns) {
            return Err(SqlError::unsupported(
                format!(
                    "function {} in FROM is overloaded with results of several shapes, which is not supported",
                    def.name.name
                ),
                "Give one of the functions a name of its own.",
            ));
        }
        let mut alias = alias.clone().unwrap_or_else(|| plain_alias(&def.name.name));
        if alias.columns.iter().any(|column| column.data_type.is_some()) {
            let message = "a column definition list is only allowed for functions returning \"record\"";
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
        }
        // The alias of a function with one column that is no row is that column's name too.
        if !shape.row && alias.columns.is_empty() {
            let own = def.outputs().next().and_then(|output| output.name.clone());
            let name = match own {
                Some(name) => quoted(&name),
                None => alias.name.clone(),
            };
            alias.columns.push(ast::TableAliasColumnDef { name, data_type: None });
        }
        if let ([def], false) = (&candidates[..], ordinality)
            && let Some(subquery) = inline::relation(self.routines, def, shape, &arguments, self.depth)?
        {
            return Ok(Some(TableFactor::Derived { lateral: false, subquery, alias: Some(alias), sample: None }));
        }
        let rows = call_of(Form::Rows, &candidates, arguments);
        let subquery = inline::rows_of(shape, rows, ordinality)?;
        Ok(Some(TableFactor::Derived { lateral: true, subquery, alias: Some(alias), sample: None }))
    }
}

fn call_of(form: Form, candidates: &[Arc<RoutineDef>], arguments: Vec<Expr>) -> Expr {
    let mut expr = call("", arguments);
    if let Expr::Function(function) = &mut expr {
        function.name = ast::ObjectName::from(vec![quoted(&call_name(form, candidates))]);
    }
    expr
}

fn plain_alias(name: &str) -> TableAlias {
    TableAlias { explicit: true, name: quoted(name), columns: vec![], at: None }
}

/// The candidates that take so many arguments, and these in order, with defaults. 42883.
pub fn arranged_call(name: &str, named: Vec<Arc<RoutineDef>>, args: &[FunctionArg]) -> Result<(Vec<Arc<RoutineDef>>, Vec<Expr>)> {
    arranged(name, named, args).map(|placed| (placed.candidates, placed.arguments))
}

fn arranged(name: &str, named: Vec<Arc<RoutineDef>>, args: &[FunctionArg]) -> Result<Placed> {
    let mut fitting: Vec<(Arc<RoutineDef>, Vec<Expr>, bool)> = Vec::new();
    for def in &named {
        if let Some((arguments, defaults)) = in_order(def, args)? {
            fitting.push((Arc::clone(def), arguments, defaults));
        }
    }
    // One that takes just what was given comes before those that need their defaults.
    if fitting.iter().any(|(.., defaults)| !defaults) {
        fitting.retain(|(.., defaults)| !defaults);
    }
    let same = fitting.windows(2).all(|pair| pair[0].1 == pair[1].1);
    match fitting.len() {
        0 => {
            let written = args.iter().map(|_| "unknown").collect::<Vec<_>>().join(", ");
            let message = format!("function {name}({written}) does not exist");
            Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, message)
                .hint("No function matches the given name and argument types. You might need to add explicit type casts."))
        }
        1 => {
            let (def, arguments, _) = fitting.remove(0);
            let typed = def.inputs().zip(arguments).map(|(argument, value)| inline::typed_parameter(argument, value));
            Ok(Placed { arguments: typed.collect(), candidates: vec![def] })
        }
        _ if same => {
            let arguments = fitting[0].1.clone();
            Ok(Placed { candidates: fitting.into_iter().map(|(def, ..)| def).collect(), arguments })
        }
        _ => Err(SqlError::new(SqlState::AMBIGUOUS_FUNCTION, format!("function {name} is not unique"))
            .hint("Could not choose a best candidate function. You might need to add explicit type casts.")),
    }
}

/// The arguments in the order of the definition, and whether defaults are among them; `None` where they do not fit.
fn in_order(def: &RoutineDef, args: &[FunctionArg]) -> Result<Option<(Vec<Expr>, bool)>> {
    let inputs: Vec<_> = def.inputs().collect();
    if args.len() > inputs.len() {
        return Ok(None);
    }
    let named = |name: &ast::Ident| {
        let name = fold(name);
        inputs.iter().position(|input| input.name.as_ref() == Some(&name))
    };
    let mut placed: Vec<Option<Expr>> = vec![None; inputs.len()];
    for (at, arg) in args.iter().enumerate() {
        let (place, value) = match arg {
            // The parser takes `name := value` for an operation.
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::BinaryOp { left, op: ast::BinaryOperator::Assignment, right })) => {
                match left.as_ref() {
                    Expr::Identifier(name) => (named(name), right.as_ref()),
                    _ => return Ok(None),
                }
            }
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => (Some(at), value),
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. }
            | FunctionArg::ExprNamed { name: Expr::Identifier(name), arg: FunctionArgExpr::Expr(value), .. } => {
                (named(name), value)
            }
            _ => return Ok(None),
        };
        match place.and_then(|place| placed.get_mut(place)) {
            Some(slot @ None) => *slot = Some(value.clone()),
            _ => return Ok(None),
        }
    }
    let mut arguments = Vec::with_capacity(inputs.len());
    let mut defaults = false;
    for (slot, input) in placed.into_iter().zip(inputs) {
        match (slot, &input.default) {
            (Some(value), _) => arguments.push(value),
            (None, Some(text)) => {
                defaults = true;
                arguments.push(inline::typed(input, crate::plan::modify::parse_expression(text)?));
            }
            (None, None) => return Ok(None),
        }
    }
    Ok(Some((arguments, defaults)))
}

impl VisitorMut for Rewriter<'_, '_> {
    type Break = SqlError;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        // An item that is a call keeps its name.
        for item in &mut select.projection {
            let named = match &*item {
                SelectItem::UnnamedExpr(expr) if mentions(self.routines, expr) => item_name(item),
                _ => None,
            };
            let Some(name) = named else { continue };
            if let SelectItem::UnnamedExpr(expr) = std::mem::replace(item, SelectItem::Wildcard(Default::default())) {
                *item = SelectItem::ExprWithAlias { expr, alias: quoted(&name) };
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        let Expr::Function(function) = &*expr else { return ControlFlow::Continue(()) };
        match self.expression(function) {
            Ok(Some(written)) => {
                *expr = written;
                ControlFlow::Continue(())
            }
            Ok(None) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        match self.relation(factor) {
            Ok(Some(written)) => {
                *factor = written;
                ControlFlow::Continue(())
            }
            Ok(None) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// Whether an expression calls a routine anywhere.
fn mentions(routines: &Routines<'_>, expr: &Expr) -> bool {
    let found = ast::visit_expressions(expr, |e| match e {
        Expr::Function(function) => match split(&function.name) {
            Some((schema, name)) if !routines.named(schema.as_deref(), &name).is_empty() => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        },
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}
