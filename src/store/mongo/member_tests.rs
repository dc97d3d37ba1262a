//! Filters of members, over collections that the library wrote: no state is left out whose document passes.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use serde_json::Value;

use super::library_tests::{Files, Sampled};
use super::tests::uri;
use super::*;
use crate::store::{Candidates, PayloadRef};
use crate::versions::{KeyFilter, MemberFilter, MemberTest, MemberValue};

/// The documents of a data set, read once each. What is missing or no JSON passes no filter.
struct Documents {
    files: Files,
    read: BTreeMap<String, Option<Value>>,
}

impl Documents {
    async fn of(&mut self, payload: &PayloadRef) -> Option<Value> {
        let PayloadRef::Object { name, .. } = payload else { panic!("an object") };
        if !self.read.contains_key(name) {
            let bytes = self.files.get(std::slice::from_ref(payload)).await.ok();
            let document = bytes.and_then(|bytes| serde_json::from_slice(&bytes[0]).ok());
            self.read.insert(name.clone(), document);
        }
        self.read[name].clone()
    }
}

fn value_of(value: &Value) -> Option<MemberValue> {
    match value {
        Value::Bool(value) => Some(MemberValue::Bool(*value)),
        Value::Number(value) => value.as_f64().map(MemberValue::Number),
        Value::String(value) => Some(MemberValue::Text(value.clone())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn passes(document: &Value, filter: &MemberFilter) -> bool {
    let Some(value) = document.get(&filter.path[0]).and_then(value_of) else { return false };
    match (&filter.test, &value) {
        (MemberTest::OneOf(values), value) => values.contains(value),
        (MemberTest::Within { low, high }, MemberValue::Number(value)) => {
            low.is_none_or(|low| low <= *value) && high.is_none_or(|high| *value <= high)
        }
        (MemberTest::Within { .. } | MemberTest::ReadsAs(_), _) => false,
    }
}

/// Filters that some of these documents pass: up to three values of each member, and a range of each number.
fn filters(documents: &[Value]) -> Vec<MemberFilter> {
    let mut values: BTreeMap<&str, Vec<MemberValue>> = BTreeMap::new();
    for (member, value) in documents.iter().filter_map(Value::as_object).flatten() {
        let Some(value) = value_of(value) else { continue };
        let known = values.entry(member).or_default();
        if known.len() < 3 && !known.contains(&value) {
            known.push(value);
        }
    }
    let mut filters = Vec::new();
    for (member, values) in values {
        let filter = |test| MemberFilter { path: vec![member.to_owned()], test };
        if let Some(MemberValue::Number(value)) = values.first() {
            filters.push(filter(MemberTest::Within { low: Some(*value), high: Some(*value + 1.0) }));
            filters.push(filter(MemberTest::Within { low: None, high: Some(*value) }));
        }
        filters.extend(values.into_iter().map(|value| filter(MemberTest::OneOf(vec![value]))));
    }
    filters
}

/// How many states there were to leave out, and how many were.
async fn check_table(sampled: &Sampled, table: TableId, documents: &mut Documents) -> (usize, usize) {
    let scan = async |scope, candidates| {
        let (snapshot, keys) = (sampled.now(), KeyFilter::All);
        let request = ScanRequest { table, snapshot, scope, keys, candidates, payloads: true, limit: None };
        sampled.index.scan(request).try_concat().await.unwrap()
    };
    let all = scan(Scope::All, None).await;
    let mut texts = Vec::new();
    for state in &all {
        texts.extend(documents.of(&state.payload).await);
    }
    let middle = all.get(all.len() / 2).map_or(Timestamp::MIN, |state| state.version.period.from);
    let (mut beside, mut left_out) = (0, 0);
    for scope in [Scope::Current, Scope::AsOf(middle), Scope::All] {
        let whole = scan(scope, None).await;
        for filter in filters(&texts) {
            let found = scan(scope, Some(Candidates::Members(vec![filter.clone()]))).await;
            assert!(found.is_sorted_by_key(|state| (state.key.clone(), state.version.period.from)), "in order");
            assert!(found.iter().all(|state| whole.contains(state)), "{filter}: states that are not there");
            for state in &whole {
                let passes = documents.of(&state.payload).await.is_some_and(|document| passes(&document, &filter));
                let is_found = found.contains(state);
                assert!(is_found || !passes, "{filter} in {scope:?} loses {state:?}");
                beside += usize::from(!passes);
                left_out += usize::from(!is_found);
            }
        }
    }
    (beside, left_out)
}

async fn check_set(set: &'static str) {
    let Some(uri) = uri() else { return };
    let sampled = Sampled::load(&uri, set).await;
    let mut documents = Documents { files: Files(set), read: BTreeMap::new() };
    let (mut beside, mut left_out) = (0, 0);
    for table in sampled.tables.values() {
        let (more, fewer) = check_table(&sampled, *table, &mut documents).await;
        (beside, left_out) = (beside + more, left_out + fewer);
    }
    println!("{set}: {left_out} of {beside} states that do not pass were left out");
    // The first version of the library kept no members.
    assert_eq!(left_out > beside / 4, set != "v1-sample", "{set}: {left_out} of {beside}");
    sampled.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_of_members_lose_no_state_of_the_main_set() {
    check_set("main").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_of_members_lose_no_state_where_members_were_not_kept() {
    check_set("v1-sample").await;
}
