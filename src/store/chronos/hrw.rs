//! Which of several servers a 1.x deployment keeps something on: rendezvous hashing over a key made from the context.

use sha2::{Digest, Sha256};

/// What a routing key is made from. An empty string is as good as none.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoutingContext<'c> {
    pub tenant: Option<&'c str>,
    pub database: Option<&'c str>,
    pub collection: Option<&'c str>,
    pub object: Option<&'c str>,
}

/// How the library chooses a key when it is not told.
pub const DEFAULT_TEMPLATE: &str = "tenantId|dbName|collection:objectId";

/// The key of a template: alternatives between `|`, of which the first that has a value counts, and something in any case.
pub fn routing_key(template: &str, context: RoutingContext<'_>) -> String {
    let alternatives = template.split('|').map(str::trim);
    alternatives.chain(["tenantId", "dbName", "collection:objectId"]).find_map(|name| context.value(name)).unwrap_or_default()
}

impl RoutingContext<'_> {
    fn value(&self, name: &str) -> Option<String> {
        let (collection, object) = (self.collection.unwrap_or_default(), self.object.unwrap_or_default());
        let value = match name.rsplit_once('.').map_or(name, |(_, field)| field) {
            "collection:objectId" => return Some(format!("{collection}:{object}")),
            "tenantId" => self.tenant,
            "dbName" => self.database,
            "collection" => self.collection,
            "objectId" => self.object,
            _ => None,
        };
        value.filter(|value| !value.is_empty()).map(str::to_owned)
    }
}

/// How well a key and a server go together.
pub fn score(key: &str, server: &str) -> u64 {
    let digest = Sha256::digest(format!("{key}|{server}"));
    digest.iter().take(8).fold(0, |score, byte| score << 8 | u64::from(*byte))
}

/// The place of the server with the greatest score, the first of several; 0 where there is none to choose.
pub fn choose<S: AsRef<str>>(key: &str, servers: &[S]) -> usize {
    let scored = servers.iter().enumerate().map(|(place, server)| (score(key, server.as_ref()), place));
    scored.max_by_key(|(score, place)| (*score, std::cmp::Reverse(*place))).map_or(0, |(_, place)| place)
}
