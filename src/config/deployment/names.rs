//! By which names a deployment is served: tenants and domains become databases, types and tiers schemas.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::member::Unfit;
use super::tiers::{Entry, Kind, Tier};
use super::{Database, Place};

/// The database of what belongs to nobody alone.
const SHARED: &str = "shared";

/// Names that clients and the server itself give a meaning of their own.
const TAKEN: [&str; 5] = [SHARED, "chronogate", "postgres", "template0", "template1"];

/// `chronogate.tenants`: which domains a tenant sees.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct TenantDomains(BTreeMap<String, Tenant>);

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tenant {
    #[serde(default)]
    domains: Vec<String>,
}

impl TenantDomains {
    /// Refuses tenants where the configuration knows none.
    pub fn none_configured(&self) -> Result<(), Unfit> {
        self.0.keys().next().map_or(Ok(()), |tenant| {
            let (member, found) = (format!("chronogate.tenants.{tenant}"), "a tenant".to_owned());
            Err(Unfit { member, found, expected: "none: a 1.x configuration has no tenants".to_owned() })
        })
    }
}

/// Whether clients can connect to a database of this name: 1 to 63 bytes, no control characters, and no `@`, after which
/// comes the time to read it at.
pub fn is_database_name(name: &str) -> bool {
    fits(name) && !name.contains('@') && !TAKEN.contains(&name.to_lowercase().as_str())
}

fn fits(name: &str) -> bool {
    (1..=63).contains(&name.len()) && name.trim() == name && !name.chars().any(char::is_control)
}

/// The databases that these entries make, by name.
pub(super) fn databases(
    entries: Vec<Entry>,
    tenants: &TenantDomains,
    warnings: &mut Vec<String>,
) -> Result<Vec<Database>, Unfit> {
    check_names(&entries)?;
    check_owners(&entries, warnings)?;
    let shown = Shown::of(&entries, tenants)?;
    let mut databases: BTreeMap<String, Vec<(u8, Place)>> = BTreeMap::new();
    let mut add = |database: &str, schema: String, entry: &Entry| {
        let (rank, shared) = (rank(&entry.tier), !matches!(entry.tier, Tier::Runtime { .. } | Tier::Tenant(..)));
        let place = Place { schema, shared, ..entry.place.clone() };
        databases.entry(database.to_owned()).or_default().push((rank, place));
    };
    for entry in &entries {
        match &entry.tier {
            Tier::Runtime { tenant } => add(tenant, "public".to_owned(), entry),
            Tier::Tenant(kind, tenant) => add(tenant, kind.name().to_owned(), entry),
            Tier::Logs => add(SHARED, "logs".to_owned(), entry),
            Tier::Generic(kind) => {
                add(SHARED, kind.name().to_owned(), entry);
                shown.tenants.iter().for_each(|tenant| add(tenant, format!("{}_generic", kind.name()), entry));
            }
            Tier::Domain(kind, domain) => {
                add(domain, kind.name().to_owned(), entry);
                let seen_by = shown.domains.get(domain.as_str()).into_iter().flatten();
                seen_by.for_each(|tenant| add(tenant, format!("{}_{domain}", kind.name()), entry));
            }
        }
    }
    let one = |(name, mut places): (String, Vec<(u8, Place)>)| {
        places.sort_by(|(one, a), (other, b)| (one, &a.schema).cmp(&(other, &b.schema)));
        Database { name, places: places.into_iter().map(|(_, place)| place).collect() }
    };
    Ok(databases.into_iter().map(one).collect())
}

/// A tenant's own places come first, then what all see, then domains.
fn rank(tier: &Tier) -> u8 {
    match tier {
        Tier::Runtime { .. } => 0,
        Tier::Tenant(Kind::Metadata, _) => 1,
        Tier::Tenant(Kind::Knowledge, _) => 2,
        Tier::Generic(_) => 3,
        Tier::Domain(..) => 4,
        Tier::Logs => 5,
    }
}

/// Who sees what.
struct Shown<'e> {
    tenants: Vec<&'e str>,
    /// The tenants that see each domain.
    domains: BTreeMap<&'e str, Vec<&'e str>>,
}

impl<'e> Shown<'e> {
    fn of(entries: &'e [Entry], configured: &TenantDomains) -> Result<Self, Unfit> {
        let mut tenants: Vec<&str> = entries.iter().filter_map(|entry| entry.tier.tenant()).collect();
        tenants.sort_unstable();
        tenants.dedup();
        let mut domains: BTreeMap<&str, Vec<&str>> =
            entries.iter().filter_map(|entry| entry.tier.domain()).map(|domain| (domain, Vec::new())).collect();
        for (name, tenant) in &configured.0 {
            let member = format!("chronogate.tenants.{name}");
            let Some(known) = tenants.iter().find(|known| *known == name) else {
                return Err(not_one_of(member, name, "tenant", tenants));
            };
            for (place, domain) in tenant.domains.iter().enumerate() {
                match domains.get_mut(domain.as_str()) {
                    Some(seen_by) if !seen_by.contains(known) => seen_by.push(known),
                    Some(_) => {}
                    None => {
                        return Err(not_one_of(
                            format!("{member}.domains[{place}]"),
                            domain,
                            "domain",
                            domains.into_keys().collect(),
                        ));
                    }
                }
            }
        }
        Ok(Self { tenants, domains })
    }
}

fn not_one_of(member: String, found: &str, what: &str, known: Vec<&str>) -> Unfit {
    let known = match known.len() {
        0 => format!("no {what}: databases names none"),
        _ => format!("a {what} of databases: {}", known.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")),
    };
    Unfit { member, found: format!("{found:?}"), expected: known }
}

impl Tier {
    fn tenant(&self) -> Option<&str> {
        match self {
            Self::Runtime { tenant } | Self::Tenant(_, tenant) => Some(tenant),
            Self::Logs | Self::Generic(_) | Self::Domain(..) => None,
        }
    }

    fn domain(&self) -> Option<&str> {
        match self {
            Self::Domain(_, domain) => Some(domain),
            Self::Runtime { .. } | Self::Tenant(..) | Self::Logs | Self::Generic(_) => None,
        }
    }

    /// The member that names the database, and whose it is.
    fn owner(&self) -> Owner<'_> {
        match self {
            Self::Runtime { tenant } | Self::Tenant(_, tenant) => Owner::Tenant(tenant),
            Self::Domain(_, domain) => Owner::Domain(domain),
            Self::Logs | Self::Generic(_) => Owner::All,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner<'e> {
    Tenant(&'e str),
    Domain(&'e str),
    All,
}

impl<'e> Owner<'e> {
    /// The database's name with the member that gives it; none for what all share.
    fn name(self) -> Option<(&'static str, &'e str)> {
        match self {
            Self::Tenant(tenant) => Some(("tenantId", tenant)),
            Self::Domain(domain) => Some(("domain", domain)),
            Self::All => None,
        }
    }
}

/// Names must be usable, of one spelling, and mean one thing.
fn check_names(entries: &[Entry]) -> Result<(), Unfit> {
    let mut first: BTreeMap<String, (Owner<'_>, String)> = BTreeMap::new();
    for (place, entry) in entries.iter().enumerate() {
        let owner = entry.tier.owner();
        let Some((member, name)) = owner.name() else { continue };
        let member = format!("{}.{member}", entry.member);
        check_usable(&member, name, owner)?;
        let (before, its_member) = first.entry(name.to_lowercase()).or_insert_with(|| (owner, member.clone()));
        if *before != owner {
            let expected = format!("a name unlike that of {its_member}, capitals aside");
            return Err(Unfit { member, found: format!("{name:?}"), expected });
        }
        if let Some(twin) = entries[..place].iter().find(|earlier| earlier.tier == entry.tier) {
            let expected = format!("a name that {} does not have", twin.member);
            return Err(Unfit { member, found: format!("{name:?}"), expected });
        }
    }
    Ok(())
}

fn check_usable(member: &str, name: &str, owner: Owner<'_>) -> Result<(), Unfit> {
    let unfit = |expected: &str| Unfit { member: member.to_owned(), found: format!("{name:?}"), expected: expected.to_owned() };
    if !is_database_name(name) {
        let taken = TAKEN.map(|name| format!("{name:?}")).join(", ");
        let expected = "a name for a database: 1 to 63 bytes, no blanks around it, no control characters, no \"@\", none of";
        return Err(unfit(&format!("{expected} {taken}")));
    }
    let as_schema = format!("{}_{name}", Kind::Knowledge.name());
    if matches!(owner, Owner::Domain(_)) && (!fits(&as_schema) || name.eq_ignore_ascii_case("generic")) {
        return Err(unfit("a name that \"knowledge_\" can go before: up to 53 bytes, and not \"generic\""));
    }
    Ok(())
}

/// No MongoDB database may belong to two: what one stores there the other would see.
fn check_owners(entries: &[Entry], warnings: &mut Vec<String>) -> Result<(), Unfit> {
    for (place, entry) in entries.iter().enumerate() {
        let same = |earlier: &&Entry| {
            earlier.place.mongo_database == entry.place.mongo_database && earlier.place.mongo.is_same(&entry.place.mongo)
        };
        for earlier in entries[..place].iter().filter(same) {
            let member = format!("{}.dbName", entry.member);
            if earlier.tier.owner() == entry.tier.owner() {
                warnings.push(format!("{member} is that of {} too: its collections appear in both schemas", earlier.member));
                continue;
            }
            let expected = format!("another than that of {}: what is stored in one would be seen in the other", earlier.member);
            return Err(Unfit { member, found: format!("{:?}", entry.place.mongo_database), expected });
        }
    }
    Ok(())
}
