//! Values of sequences and row numbers: given once, in order, across crashes.

use super::*;

async fn with(f: &Fixture, change: impl FnOnce(&mut SequenceDef)) -> Arc<SequenceDef> {
    f.ddl(|c| {
        let mut def = sequence(c, "s", 1);
        change(&mut def);
        c.create_sequence(def)
    })
    .await;
    f.db.catalog().sequences[&public("s")].clone()
}

async fn take(f: &Fixture, def: &SequenceDef, count: usize) -> Vec<i64> {
    let mut values = Vec::new();
    for _ in 0..count {
        values.push(f.db.next_value(def).await.unwrap());
    }
    values
}

#[tokio::test]
async fn values_go_on_by_the_increment_from_the_start() {
    let f = Fixture::new().await;
    let def = with(&f, |_| {}).await;
    assert_eq!(take(&f, &def, 100).await, (1..=100).collect::<Vec<_>>());
    let f = Fixture::new().await;
    let def = with(&f, |def| (def.start, def.increment, def.min, def.max) = (-1, -3, i64::MIN, -1)).await;
    assert_eq!(take(&f, &def, 3).await, [-1, -4, -7]);
}

#[tokio::test]
async fn the_end_is_an_error_that_names_it() {
    let f = Fixture::new().await;
    let def = with(&f, |def| (def.start, def.max, def.increment) = (5, 10, 4)).await;
    assert_eq!(take(&f, &def, 2).await, [5, 9]);
    for _ in 0..2 {
        let error = f.db.next_value(&def).await.unwrap_err();
        assert_eq!(error.to_string(), "nextval: reached maximum value of sequence \"s\" (10)");
        assert_eq!(error.diagnose().code(), SqlState::SEQUENCE_GENERATOR_LIMIT_EXCEEDED);
    }
    let f = Fixture::new().await;
    let def = with(&f, |def| (def.start, def.min, def.max, def.increment) = (-1, -2, -1, -1)).await;
    assert_eq!(take(&f, &def, 2).await, [-1, -2]);
    let error = f.db.next_value(&def).await.unwrap_err().to_string();
    assert_eq!(error, "nextval: reached minimum value of sequence \"s\" (-2)");
}

#[tokio::test]
async fn the_greatest_bigint_is_given_once() {
    let mut f = Fixture::new().await;
    let def = with(&f, |def| def.start = i64::MAX - 1).await;
    assert_eq!(take(&f, &def, 2).await, [i64::MAX - 1, i64::MAX]);
    f.db.next_value(&def).await.unwrap_err();
    f.crash().await;
    f.db.next_value(&def).await.unwrap_err();
}

#[tokio::test]
async fn a_cycle_begins_again_at_the_other_bound() {
    let f = Fixture::new().await;
    let def = with(&f, |def| (def.start, def.max, def.cycle) = (2, 3, true)).await;
    assert_eq!(take(&f, &def, 6).await, [2, 3, 1, 2, 3, 1]);
}

#[tokio::test]
async fn after_a_crash_values_are_lost_and_never_repeated() {
    let mut f = Fixture::new().await;
    let def = with(&f, |_| {}).await;
    take(&f, &def, 3).await;
    f.crash().await;
    assert_eq!(take(&f, &def, 1).await, [33]);
}

#[tokio::test]
async fn a_set_value_counts_with_is_called_or_without() {
    let mut f = Fixture::new().await;
    let def = with(&f, |_| {}).await;
    take(&f, &def, 2).await;
    f.db.set_value(&def, 10, true).await.unwrap();
    assert_eq!(take(&f, &def, 1).await, [11]);
    f.db.set_value(&def, 10, false).await.unwrap();
    f.crash().await;
    assert_eq!(take(&f, &def, 2).await, [10, 11]);
    let error = f.db.set_value(&def, 0, true).await.unwrap_err();
    assert_eq!(error.to_string(), format!("setval: value 0 is out of bounds for sequence \"s\" (1..{})", i64::MAX));
    assert_eq!(error.diagnose().code(), SqlState::NUMERIC_VALUE_OUT_OF_RANGE);
}

#[tokio::test]
async fn values_taken_before_the_sequence_is_committed_count_only_if_it_is() {
    let mut f = Fixture::new().await;
    let failed = defining(&f.db, |c| c.create_sequence(sequence(c, "s", 1)));
    let lost = failed.catalog.sequences[&public("s")].clone();
    assert_eq!(take(&f, &lost, 2).await, [1, 2]);
    drop(failed);
    let tx = defining(&f.db, |c| c.create_sequence(sequence(c, "s", 1)));
    let def = tx.catalog.sequences[&public("s")].clone();
    assert_eq!(take(&f, &def, 2).await, [1, 2]);
    f.db.commit(tx).await.unwrap();
    f.crash().await;
    assert_eq!(take(&f, &def, 1).await, [3]);
}

#[tokio::test]
async fn a_new_increment_counts_from_the_last_value() {
    let f = Fixture::new().await;
    let def = with(&f, |_| {}).await;
    take(&f, &def, 3).await;
    f.ddl(|c| c.replace_sequence(SequenceDef { increment: 10, ..SequenceDef::clone(&def) })).await;
    let def = f.db.catalog().sequences[&public("s")].clone();
    assert_eq!(take(&f, &def, 2).await, [13, 23]);
}

#[tokio::test]
async fn row_numbers_come_in_blocks_that_never_meet() {
    let mut f = Fixture::new().await;
    let t = f.create("t").await;
    let first = f.db.row_numbers(&t, 10).await.unwrap();
    let second = f.db.row_numbers(&t, 5000).await.unwrap();
    assert!(second >= first + 10);
    f.crash().await;
    assert!(f.db.row_numbers(&t, 1).await.unwrap() >= second + 5000);
}
