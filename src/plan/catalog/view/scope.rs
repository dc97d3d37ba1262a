//! What a name in a query means: the relations in FROM around it, each with its columns.
//!
//! Pure. Where relations and their columns come from is for [`super::bind`].

use datafusion::sql::sqlparser::ast::{Expr, Ident};

use crate::plan::expand::{fold, quoted};
use crate::types::{PgType, Qualified};

/// A column of a relation or of a query's result.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    pub name: String,
    pub ty: PgType,
}

/// One relation in FROM.
#[derive(Clone, Debug)]
pub struct Source {
    /// By what its columns are qualified in the text.
    pub name: String,
    /// By what they are qualified when it is printed.
    pub shown: String,
    /// Columns under the names that are in reach here; none where they are not known.
    pub columns: Vec<Output>,
    /// A column that is to go by another name in the text.
    pub renamed: Option<(usize, String)>,
    /// The relation that it is.
    pub relation: Option<Qualified>,
}

/// A column that USING made one of two: its name, and the source that gives it where one does.
#[derive(Clone, Debug)]
pub struct Merged {
    pub column: String,
    pub source: Option<usize>,
}

/// The FROM of one SELECT, inside those around it.
#[derive(Default)]
pub struct Scope<'a> {
    pub sources: Vec<Source>,
    pub merged: Vec<Merged>,
    /// Names that printed queries inside must not take again.
    pub taken: Vec<String>,
    pub outer: Option<&'a Scope<'a>>,
}

/// A column that was found.
pub struct Found<'a> {
    pub source: &'a Source,
    pub place: usize,
}

impl Found<'_> {
    pub fn ty(&self) -> Option<PgType> {
        self.source.columns.get(self.place).map(|column| column.ty)
    }

    /// The column under its source's name.
    pub fn qualified(&self) -> Expr {
        let column = match &self.source.renamed {
            Some((place, name)) if *place == self.place => name.as_str(),
            _ => self.source.columns.get(self.place).map_or("", |column| column.name.as_str()),
        };
        Expr::CompoundIdentifier(vec![quoted(&self.source.shown), quoted(column)])
    }
}

impl<'a> Scope<'a> {
    pub fn inside(outer: Option<&'a Scope<'a>>) -> Self {
        Self { outer, ..Self::default() }
    }

    /// What a name means here or, where nothing here has it, further out. `None` where that is not certain.
    pub fn find(&self, parts: &[Ident]) -> Option<Found<'_>> {
        match self.find_here(parts) {
            Ok(None) => self.outer?.find(parts),
            Ok(found) => found,
            Err(Ambiguous) => None,
        }
    }

    fn find_here(&self, parts: &[Ident]) -> Result<Option<Found<'_>>, Ambiguous> {
        let (qualifier, column) = match parts {
            [column] => (None, fold(column)),
            [qualifier, column] => (Some((None, fold(qualifier))), fold(column)),
            [.., schema, relation, column] => (Some((Some(fold(schema)), fold(relation))), fold(column)),
            [] => return Ok(None),
        };
        if qualifier.is_none()
            && let Some(merged) = self.merged.iter().find(|merged| merged.column == column)
        {
            let source = merged.source.and_then(|at| self.sources.get(at)).ok_or(Ambiguous)?;
            let place = source.columns.iter().position(|c| c.name == column).ok_or(Ambiguous)?;
            return Ok(Some(Found { source, place }));
        }
        let is_meant = |source: &&Source| match &qualifier {
            None => true,
            Some((None, name)) => source.name == *name,
            Some((Some(schema), name)) => {
                source.name == *name && source.relation.as_ref().is_some_and(|full| full.schema == *schema)
            }
        };
        let mut found = self.sources.iter().filter(is_meant).filter_map(|source| {
            let place = source.columns.iter().position(|c| c.name == column)?;
            Some(Found { source, place })
        });
        let first = found.next();
        if found.next().is_some() { Err(Ambiguous) } else { Ok(first) }
    }

    /// Whether a printed query around has a relation of the name.
    pub fn is_taken(&self, name: &str) -> bool {
        self.taken.iter().any(|taken| taken == name) || self.outer.is_some_and(|outer| outer.is_taken(name))
    }

    /// Every column, as `*` has them: those that USING made one come first and once.
    pub fn all(&self) -> Option<Vec<(Expr, Output)>> {
        if self.sources.iter().any(|source| source.columns.is_empty()) {
            return None;
        }
        let mut columns = Vec::new();
        for merged in &self.merged {
            let found = self.find(&[quoted(&merged.column)]);
            let expr = found.as_ref().map_or_else(|| Expr::Identifier(quoted(&merged.column)), Found::qualified);
            let ty = found.as_ref().and_then(Found::ty).or_else(|| self.type_of_merged(&merged.column))?;
            columns.push((expr, Output { name: merged.column.clone(), ty }));
        }
        for source in &self.sources {
            let others = source.columns.iter().enumerate();
            for (place, column) in others.filter(|(_, c)| !self.merged.iter().any(|merged| merged.column == c.name)) {
                columns.push((Found { source, place }.qualified(), column.clone()));
            }
        }
        Some(columns)
    }

    fn type_of_merged(&self, column: &str) -> Option<PgType> {
        self.sources.iter().find_map(|source| source.columns.iter().find(|c| c.name == column)).map(|c| c.ty)
    }

    /// Every column of one source.
    pub fn all_of(&self, name: &str) -> Option<Vec<(Expr, Output)>> {
        match self.sources.iter().find(|source| source.name == name) {
            Some(source) if source.columns.is_empty() => None,
            Some(source) => {
                let columns = source.columns.iter().enumerate();
                Some(columns.map(|(place, column)| (Found { source, place }.qualified(), column.clone())).collect())
            }
            None => self.outer?.all_of(name),
        }
    }
}

/// A name that several relations have.
struct Ambiguous;
