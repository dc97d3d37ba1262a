//! Rules one by one, random lives against a plain reading of the rules, and the library's own data set.

use proptest::prelude::*;

use super::super::tests::samples::{self, Item, Pointer};
use super::*;
use crate::versions::{Scope, Snapshot};

fn row(number: u64, op: Op, millis: i64) -> Row<u64> {
    let written = Written::Library { millis };
    Row { number, cv: number as i64 + 1, op, written, presence: Presence::Unknown, payload: number }
}

fn ours(number: u64, op: Op, commit: u64, micros: i64) -> Row<u64> {
    Row { written: Written::Ours { commit: CommitNo(commit), from: Timestamp::from_micros(micros) }, ..row(number, op, 0) }
}

fn head(number: u64, updated: i64, deleted: Option<i64>) -> Head<u64> {
    Head { number, cv: number as i64 + 1, created: 1, updated, deleted, payload: 100 + number }
}

/// States as `number op from..to by` (microseconds).
fn told(life: &Life<u64>) -> Vec<String> {
    let line = |state: &State<u64>| {
        let Version { number, op, period, .. } = state.version;
        let end = period.end.map_or(String::new(), |end| format!("{} {}", end.to.micros(), end.op.name()));
        format!("{} {} {}..{end}", number.0, op.name(), period.from.micros())
    };
    life.states.iter().map(line).collect()
}

fn check(rows: Vec<Row<u64>>, head: Option<Head<u64>>, states: &[&str], anomalies: &[Anomaly]) {
    let life = Life::of(rows, head.as_ref());
    assert_eq!(told(&life), states);
    assert_eq!(life.anomalies, anomalies);
}

#[test]
fn a_deletion_ends_the_state_before_it_and_a_second_one_changes_nothing() {
    let rows = vec![row(0, Op::Create, 1), row(1, Op::Delete, 2), row(2, Op::Delete, 3), row(3, Op::Restore, 4)];
    let states = ["0 CREATE 1000..2000 DELETE", "3 RESTORE 4000.."];
    check(rows.clone(), Some(head(3, 4, Some(3))), &states, &[Anomaly::HeadDeleted { newest: 3 }]);
    check(rows[..3].to_vec(), Some(head(2, 3, Some(3))), &states[..1], &[]);
    check(vec![row(4, Op::Delete, 9)], Some(head(4, 9, Some(9))), &[], &[]);
}

#[test]
fn versions_of_one_millisecond_and_of_a_clock_that_ran_back_follow_each_other_by_number() {
    let rows = vec![row(0, Op::Create, 5), row(1, Op::Update, 5), row(2, Op::Update, 3), row(3, Op::Update, 6)];
    let states = ["0 CREATE 5000..5001 UPDATE", "1 UPDATE 5001..5002 UPDATE", "2 UPDATE 5002..6000 UPDATE", "3 UPDATE 6000.."];
    check(rows, Some(head(3, 6, None)), &states, &[]);
}

#[test]
fn of_rows_with_one_number_the_payload_decides_then_the_head_then_the_count() {
    let with = |cv, presence| Row { cv, presence, payload: cv as u64, ..row(1, Op::Update, cv) };
    let counts = |rows: [Row<u64>; 2], head_cv| {
        let rows: Vec<_> = [row(0, Op::Create, 1)].into_iter().chain(rows).collect();
        assert_eq!(contested(&rows), [1]);
        Life::of(rows, Some(&Head { cv: head_cv, ..head(1, 9, None) })).states.last().map(|state| state.payload)
    };
    use Presence::{Missing, There, Unknown};
    assert_eq!(counts([with(7, Unknown), with(8, Unknown)], 0), Some(8));
    assert_eq!(counts([with(8, Unknown), with(7, Unknown)], 7), Some(7));
    assert_eq!(counts([with(7, Missing), with(8, There)], 7), Some(8));
    assert_eq!(counts([with(7, There), with(8, Missing)], 8), Some(7));
    assert_eq!(counts([with(7, Missing), with(8, Missing)], 7), Some(7));
    assert_eq!(counts([with(7, There), with(8, Unknown)], 0), Some(8));
    let three = vec![with(9, Unknown), with(7, Unknown), with(8, Missing)];
    let duplicate = Anomaly::DuplicateNumber { number: 1, cv: 9, passed_over: vec![7, 8] };
    check(three, Some(Head { cv: 9, ..head(1, 9, None) }), &["1 UPDATE 9000.."], &[duplicate]);
}

#[test]
fn a_head_newer_than_every_row_is_one_more_version() {
    let rows = vec![row(0, Op::Create, 1)];
    let ahead = |head| Anomaly::HeadAhead { head, newest_row: Some(0) };
    check(rows.clone(), Some(head(3, 9, None)), &["0 CREATE 1000..9000 UPDATE", "3 UPDATE 9000.."], &[ahead(3)]);
    check(rows.clone(), Some(head(3, 9, Some(9))), &["0 CREATE 1000..9000 DELETE"], &[ahead(3)]);
    let enriched = [ahead(3), Anomaly::HeadDeleted { newest: 3 }];
    check(rows, Some(head(3, 9, Some(8))), &["0 CREATE 1000..9000 UPDATE", "3 UPDATE 9000.."], &enriched);
}

#[test]
fn a_head_without_rows_is_one_state_from_its_creation() {
    let ahead = |head| Anomaly::HeadAhead { head, newest_row: None };
    check(vec![], Some(head(4, 9, None)), &["4 CREATE 1000.."], &[ahead(4)]);
    check(vec![], Some(head(4, 9, Some(9))), &["3 CREATE 1000..9000 DELETE"], &[ahead(4)]);
    check(vec![], None, &[], &[]);
    assert_eq!(Life::<u64>::of(vec![], None).newest, None);
}

#[test]
fn the_newest_version_decides_against_the_head() {
    let rows = vec![row(0, Op::Create, 1), row(1, Op::Delete, 2)];
    let ended = ["0 CREATE 1000..2000 DELETE"];
    check(rows.clone(), Some(head(1, 2, None)), &ended, &[Anomaly::HeadNotDeleted { newest: 1 }]);
    check(rows.clone(), Some(head(0, 1, None)), &ended, &[Anomaly::HeadBehind { head: 0, newest_row: 1 }]);
    check(rows, None, &ended, &[Anomaly::NoHead { newest_row: 1 }]);
}

#[test]
fn numbers_need_not_begin_at_zero_nor_be_without_gaps() {
    let rows = vec![row(9, Op::Update, 3), row(4, Op::Update, 1)];
    check(rows, Some(head(9, 3, None)), &["4 UPDATE 1000..3000 UPDATE", "9 UPDATE 3000.."], &[]);
}

#[test]
fn a_payload_known_to_be_missing_is_reported_and_its_state_stays() {
    let rows = vec![Row { presence: Presence::Missing, ..row(0, Op::Create, 1) }];
    check(rows, Some(head(0, 1, None)), &["0 CREATE 1000.."], &[Anomaly::MissingPayload { number: 0, cv: 1 }]);
    let deletion = Row { presence: Presence::Missing, ..row(1, Op::Delete, 2) };
    check(vec![row(0, Op::Create, 1), deletion], Some(head(1, 2, Some(2))), &["0 CREATE 1000..2000 DELETE"], &[]);
}

#[test]
fn commits_of_the_library_are_numbered_by_time_and_ours_by_themselves() {
    let commits = |rows: Vec<Row<u64>>| -> Vec<(u64, i64)> {
        let life = Life::of(rows, None);
        life.states.iter().map(|s| (s.version.period.begun.0, s.version.period.from.micros())).collect()
    };
    let mixed = vec![ours(0, Op::Create, 3, 5500), row(1, Op::Update, 5), row(2, Op::Update, 6), ours(3, Op::Update, 6001, 6000)];
    assert_eq!(commits(mixed), [(3, 5500), (5501, 5501), (6000, 6000), (6001, 6001)]);
    // One of our commits emptied the table and made the item anew; a load continues where it had ended.
    let same = vec![ours(0, Op::Create, 1, 10), ours(1, Op::Truncate, 2, 20), ours(2, Op::Create, 2, 20)];
    assert_eq!(commits(same.clone()), [(1, 10), (2, 20)]);
    check(same, Some(head(2, 0, None)), &["0 CREATE 10..20 TRUNCATE", "2 CREATE 20.."], &[]);
    assert_eq!(commits(vec![row(0, Op::Create, -5)]), [(1, -5000)]);
    assert!(commits(vec![row(0, Op::Create, i64::MAX), row(1, Op::Update, i64::MAX)])[1].1 < i64::MAX);
}

#[derive(Clone, Debug)]
struct Told {
    rows: Vec<Row<u64>>,
    head: Option<Head<u64>>,
}

fn lives() -> impl Strategy<Value = Told> {
    let op = prop_oneof![Just(Op::Create), Just(Op::Update), Just(Op::Delete), Just(Op::Restore)];
    let presence = prop_oneof![Just(Presence::Unknown), Just(Presence::There), Just(Presence::Missing)];
    let row = (0..9u64, 0..40i64, op, 0..30i64, presence);
    let rows = prop::collection::vec(row, 0..12).prop_map(|rows| {
        let one = |(place, (number, cv, op, millis, presence))| {
            // No two rows are alike, or their order could not be told.
            Row { number, cv: cv * 100 + place as i64, op, written: Written::Library { millis }, presence, payload: place as u64 }
        };
        rows.into_iter().enumerate().map(one).collect::<Vec<_>>()
    });
    let head = prop::option::of((0..11u64, 0..4000i64, 0..30i64, prop::option::of(0..30i64)));
    (rows, head).prop_map(|(rows, head)| Told {
        rows,
        head: head.map(|(number, cv, updated, deleted)| Head { cv, ..self::head(number, updated, deleted) }),
    })
}

proptest! {
    #[test]
    fn the_order_of_rows_does_not_matter((told, seed) in (lives(), any::<u64>())) {
        use rand::SeedableRng;
        use rand::seq::SliceRandom;
        let mut shuffled = told.rows.clone();
        shuffled.shuffle(&mut rand::rngs::StdRng::seed_from_u64(seed));
        prop_assert_eq!(Life::of(told.rows, told.head.as_ref()), Life::of(shuffled, told.head.as_ref()));
    }

    #[test]
    fn states_follow_each_other_without_overlap(told in lives()) {
        let life = Life::of(told.rows.clone(), told.head.as_ref());
        for pair in life.states.windows(2) {
            let (one, next) = (pair[0].version, pair[1].version);
            let end = one.period.end.expect("only the last state is open");
            prop_assert!(one.number < next.number && one.period.from < end.to && end.to <= next.period.from);
            prop_assert!(one.period.begun <= end.commit && end.commit <= next.period.begun);
            prop_assert_eq!(end.to == next.period.from, !end.op.ends_item());
        }
        let newest = life.newest;
        prop_assert_eq!(newest.is_none(), told.rows.is_empty() && told.head.is_none());
        prop_assert_eq!(life.lives(), newest.is_some_and(|step| !step.op.ends_item()));
        let greatest = told.rows.iter().map(|row| row.number).chain(told.head.map(|head| head.number)).max();
        prop_assert_eq!(newest.map(|step| step.number.0), greatest);
    }

    /// With numbers and times in order, an instant sees the newest row up to it, and no other rule is needed.
    #[test]
    fn in_an_orderly_life_an_instant_sees_the_newest_row_up_to_it(
        steps in prop::collection::vec((1..5u64, 1..9i64, 0..4u8), 1..9),
        at in 0..60i64,
    ) {
        let (mut number, mut millis) = (0, 0);
        let rows: Vec<_> = steps.into_iter().map(|(by, later, op)| {
            (number, millis) = (number + by, millis + later);
            row(number, [Op::Update, Op::Restore, Op::Create, Op::Delete][usize::from(op)], millis)
        }).collect();
        let newest = rows.iter().rfind(|row| matches!(row.written, Written::Library { millis } if millis <= at)).cloned();
        let expected = newest.filter(|row| !row.op.ends_item()).map(|row| row.number);
        let life = Life::of(rows, None);
        prop_assert_eq!(seen(&life, at).map(|version| version.number.0), expected);
        prop_assert!(life.anomalies.iter().all(|odd| odd.kind() == "head_missing"));
    }
}

fn seen<P>(life: &Life<P>, millis: i64) -> Option<Version> {
    let snapshot = Snapshot { commit: CommitNo::MAX, time: Timestamp::MAX };
    let scope = Scope::AsOf(Timestamp::from_micros(millis * 1000));
    let mut seen = life.states.iter().map(|state| state.version).filter(|version| version.period.is_visible(scope, snapshot));
    let first = seen.next();
    assert!(seen.next().is_none(), "one state at an instant");
    first
}

/// Every collection of a part with its items, under the key that the expected answers use.
fn collections(set: &str) -> Vec<(String, std::collections::BTreeMap<String, Item>)> {
    let expected = samples::expected(set);
    let contexts = expected["contexts"].as_array().cloned().unwrap_or_else(|| vec![expected["context"].clone()]);
    let one = |context: serde_json::Value| {
        let (database, collection) = (samples::text(&context["dbName"]), samples::text(&context["collection"]));
        (context["key"].as_str().unwrap_or_default().to_owned(), samples::items(set, &database, &collection))
    };
    contexts.into_iter().map(one).collect()
}

fn life(item: &Item) -> Life<Pointer> {
    Life::of(item.rows.clone(), item.head.as_ref())
}

#[test]
fn every_version_and_every_instant_of_the_data_set_is_as_expected() {
    for set in ["main", "s3-sample", "v1-sample"] {
        let expected = samples::expected(set);
        let mut instants = 0;
        for (key, items) in collections(set) {
            assert_eq!(items.len(), expected["items"][&key].as_object().map_or(0, |items| items.len()), "{set} {key}");
            for (id, item) in &items {
                let life = life(item);
                check_versions(&life, &expected["items"][&key][id]);
                let ahead = life.anomalies.iter().any(|odd| matches!(odd, Anomaly::HeadAhead { .. }));
                let head_only = item.head.as_ref().filter(|_| ahead).map(|head| head.updated);
                for asked in expected["asOf"].as_array().expect("instants") {
                    instants += 1;
                    let at = samples::millis(&asked["at"]);
                    let answer = &asked["answers"][&key][id];
                    let number = answer["ov"].as_u64().filter(|_| answer["op"] != "DELETE");
                    // The answers know rows only; a head written while versioning was off is one more version here.
                    let number = match head_only {
                        Some(updated) if at >= updated || item.rows.is_empty() => continue,
                        _ => number,
                    };
                    assert_eq!(seen(&life, at).map(|v| v.number.0), number, "{set} {key} {id} at {}", asked["at"]);
                }
            }
        }
        assert!(instants > 60, "{set}: {instants} answers compared");
    }
}

fn check_versions(life: &Life<Pointer>, expected: &serde_json::Value) {
    let rows = expected["versions"].as_array().expect("versions");
    let states: Vec<_> = rows.iter().filter(|row| row["op"] != "DELETE").collect();
    let ahead = life.anomalies.iter().any(|odd| matches!(odd, Anomaly::HeadAhead { .. }));
    assert_eq!(life.states.len(), states.len() + usize::from(ahead));
    assert_eq!(ahead, expected["historyIncomplete"] == true);
    for (state, row) in life.states.iter().zip(states) {
        assert_eq!(state.version.number.0, row["ov"].as_u64().expect("a number"));
        assert_eq!(state.version.op.name(), row["op"]);
        assert_eq!(state.version.period.from.micros(), samples::millis(&row["at"]) * 1000);
        assert_eq!((state.payload.key.as_str(), state.payload.checksum.as_str()), (text(row, "jsonKey"), text(row, "checksum")));
    }
    let latest = &expected["latest"];
    assert_eq!(life.newest.map(|step| step.number.0), latest["ov"].as_u64());
    let hidden = life.anomalies.iter().any(|odd| matches!(odd, Anomaly::HeadDeleted { .. }));
    assert_eq!(life.lives(), latest["visible"] == true || hidden);
}

fn text<'a>(value: &'a serde_json::Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("{member} in {value}"))
}

#[test]
fn exactly_the_items_restored_or_enriched_after_a_delete_are_odd_in_the_main_part() {
    let expected = samples::expected("main");
    let mut odd_items = 0;
    for (key, items) in collections("main") {
        let listed: Vec<_> = expected["divergent"][&key].as_array().expect("a list").iter().map(|d| text(d, "id")).collect();
        for (id, item) in &items {
            let odd: Vec<_> = life(item).anomalies.into_iter().filter(|o| !matches!(o, Anomaly::HeadAhead { .. })).collect();
            assert_eq!(odd.is_empty(), !listed.contains(&id.as_str()), "{key} {id}: {odd:?}");
            odd_items += odd.len();
        }
    }
    assert!(odd_items > 10, "{odd_items}");
}

#[test]
fn doubled_rows_and_vanished_payloads_of_the_race_are_found() {
    let expected = samples::expected("race-sample");
    let (mut doubled, mut missing) = (Vec::new(), Vec::new());
    for (_, items) in collections("race-sample") {
        for (id, item) in &items {
            let life = life(item);
            for odd in &life.anomalies {
                match odd {
                    Anomaly::DuplicateNumber { number, cv, passed_over } => {
                        let (mut all, number) = (passed_over.clone(), *number);
                        all.push(*cv);
                        all.sort_unstable();
                        doubled.push((id.clone(), number, all));
                    }
                    Anomaly::MissingPayload { number, .. } => missing.push((id.clone(), *number)),
                    other => panic!("{id}: {other:?}"),
                }
            }
            let head = item.head.as_ref().expect("a head");
            let last = life.states.last().expect("a state");
            assert_eq!((last.version.number.0, &last.payload), (head.number, &head.payload), "{id}");
        }
    }
    let rows = |list: &str| expected[list].as_array().expect("a list").clone();
    let listed: Vec<_> = rows("duplicateVersionRows")
        .iter()
        .map(|d| {
            let cvs = d["rows"].as_array().expect("rows").iter().map(|r| r["cv"].as_i64().expect("cv")).collect::<Vec<_>>();
            (text(d, "id").to_owned(), d["ov"].as_u64().expect("ov"), cvs)
        })
        .collect();
    doubled.sort();
    assert_eq!(doubled, listed);
    let mut listed: Vec<_> =
        rows("versionRowsWithoutPayload").iter().map(|r| (text(r, "id").to_owned(), r["ov"].as_u64().expect("ov"))).collect();
    listed.dedup();
    missing.sort();
    assert_eq!(missing, listed);
}
