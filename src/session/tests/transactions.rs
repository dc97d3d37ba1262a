//! Blocks, implicit transactions, settings inside them, conflicts and retries.

use super::*;

async fn with_accounts() -> (World, Client) {
    let world = World::new().await;
    let mut client = world.client().await;
    client.run("CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL)").await;
    client.run("INSERT INTO accounts VALUES (1, 100), (2, 50)").await;
    (world, client)
}

#[tokio::test]
async fn a_block_is_one_commit_and_sees_its_own_writes() {
    let (world, mut a) = with_accounts().await;
    let mut b = world.client().await;
    assert_eq!(a.tag("BEGIN").await, "BEGIN");
    assert_eq!(a.session.transaction_status(), TransactionStatus::InBlock);
    assert_eq!(a.tag("UPDATE accounts SET balance = balance - 10 WHERE id = 1").await, "UPDATE 1");
    a.run("UPDATE accounts SET balance = balance + 10 WHERE id = 2").await;
    assert_eq!(a.rows("SELECT balance FROM accounts ORDER BY id").await, ["90", "60"]);
    assert_eq!(b.rows("SELECT balance FROM accounts ORDER BY id").await, ["100", "50"]);
    assert_eq!(a.tag("COMMIT").await, "COMMIT");
    assert_eq!(b.rows("SELECT balance FROM accounts ORDER BY id").await, ["90", "60"]);
}

#[tokio::test]
async fn an_error_ends_a_block_with_rollback() {
    let (_world, mut client) = with_accounts().await;
    client.run("BEGIN").await;
    client.run("DELETE FROM accounts").await;
    assert!(client.refused("SELECT * FROM nowhere").await.starts_with("42P01"));
    assert_eq!(client.session.transaction_status(), TransactionStatus::Failed);
    let refused = client.refused("SELECT 1").await;
    assert_eq!(refused, "25P02 current transaction is aborted, commands ignored until end of transaction block");
    assert_eq!(client.tag("COMMIT").await, "ROLLBACK");
    assert_eq!(client.rows("SELECT count(*) FROM accounts").await, ["2"]);
}

#[tokio::test]
async fn control_outside_and_inside_a_block_warns_as_postgresql_does() {
    let (_world, mut client) = with_accounts().await;
    client.run("COMMIT").await;
    assert_eq!(client.notices(), ["WARNING there is no transaction in progress"]);
    client.run("BEGIN").await;
    client.run("BEGIN").await;
    assert_eq!(client.notices(), ["WARNING there is already a transaction in progress"]);
    client.run("ROLLBACK").await;
    client.run("SET LOCAL work_mem = '8MB'").await;
    assert_eq!(client.notices(), ["WARNING SET LOCAL can only be used in transaction blocks"]);
    assert_eq!(client.rows("SHOW work_mem").await, ["4MB"]);
}

#[tokio::test]
async fn statements_of_one_text_stand_and_fall_together() {
    let (_world, mut client) = with_accounts().await;
    client.error("INSERT INTO accounts VALUES (3, 1); SELECT * FROM nowhere").await;
    assert_eq!(client.rows("SELECT count(*) FROM accounts").await, ["2"]);
    assert_eq!(client.tag("INSERT INTO accounts VALUES (3, 1); DELETE FROM accounts WHERE id = 1").await, "DELETE 1");
    assert_eq!(client.rows("SELECT id FROM accounts ORDER BY id").await, ["2", "3"]);
}

#[tokio::test]
async fn the_first_committer_wins_and_the_other_gets_40001() {
    let (world, mut a) = with_accounts().await;
    let mut b = world.client().await;
    a.run("BEGIN").await;
    a.run("UPDATE accounts SET balance = 0 WHERE id = 1").await;
    b.run("UPDATE accounts SET balance = 1 WHERE id = 1").await;
    assert!(a.refused("COMMIT").await.starts_with("40001"));
    assert_eq!(a.session.transaction_status(), TransactionStatus::Idle);
    assert_eq!(a.rows("SELECT balance FROM accounts WHERE id = 1").await, ["1"]);
}

/// Writers that fight for one row: every one gets through by itself, and none is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_lone_statement_retries_until_it_is_through() {
    let (world, mut client) = with_accounts().await;
    let mut writers = Vec::new();
    for _ in 0..8 {
        let mut writer = world.client().await;
        writers.push(tokio::spawn(async move {
            for _ in 0..10 {
                writer.answers("UPDATE accounts SET balance = balance + 1 WHERE id = 1").await.unwrap();
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(client.rows("SELECT balance FROM accounts WHERE id = 1").await, ["180"]);
}

#[tokio::test]
async fn set_is_rolled_back_with_its_transaction() {
    let (_world, mut client) = with_accounts().await;
    client.run("BEGIN; SET timezone = 'Asia/Tokyo'; SET LOCAL work_mem = '8MB'").await;
    assert_eq!(client.rows("SHOW timezone").await, ["Asia/Tokyo"]);
    client.run("ROLLBACK").await;
    assert_eq!(client.rows("SHOW timezone").await, ["UTC"]);
    client.run("BEGIN; SET timezone = 'Asia/Tokyo'; SET LOCAL work_mem = '8MB'; COMMIT").await;
    assert_eq!(client.rows("SHOW timezone").await, ["Asia/Tokyo"]);
    assert_eq!(client.rows("SHOW work_mem").await, ["4MB"]);
}

#[tokio::test]
async fn modes_are_read_back_and_read_only_is_kept() {
    let (_world, mut client) = with_accounts().await;
    client.run("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY").await;
    assert_eq!(client.rows("SHOW transaction_isolation").await, ["serializable"]);
    assert_eq!(client.rows("SHOW transaction_read_only").await, ["on"]);
    let refused = client.refused("INSERT INTO accounts VALUES (9, 9)").await;
    assert_eq!(refused, "25006 cannot execute INSERT in a read-only transaction");
    client.run("ROLLBACK").await;
    assert_eq!(client.rows("SHOW transaction_isolation").await, ["read committed"]);
    client.run("SET default_transaction_read_only = on").await;
    assert!(client.refused("DROP TABLE accounts").await.starts_with("25006 cannot execute DROP TABLE"));
}

#[tokio::test]
async fn a_snapshot_is_taken_at_the_first_statement_not_at_begin() {
    let (world, mut a) = with_accounts().await;
    let mut b = world.client().await;
    a.run("BEGIN").await;
    b.run("DELETE FROM accounts WHERE id = 2").await;
    assert_eq!(a.rows("SELECT count(*) FROM accounts").await, ["1"]);
    b.run("DELETE FROM accounts WHERE id = 1").await;
    assert_eq!(a.rows("SELECT count(*) FROM accounts").await, ["1"]);
}

#[tokio::test]
async fn chain_begins_the_next_block_with_the_same_modes() {
    let (_world, mut client) = with_accounts().await;
    client.run("BEGIN ISOLATION LEVEL REPEATABLE READ; COMMIT AND CHAIN").await;
    assert_eq!(client.session.transaction_status(), TransactionStatus::InBlock);
    assert_eq!(client.rows("SHOW transaction_isolation").await, ["repeatable read"]);
    client.run("ROLLBACK").await;
    assert!(client.refused("COMMIT AND CHAIN").await.starts_with("25P01"));
}

#[tokio::test]
async fn statement_timeout_and_cancel_stop_a_statement() {
    let (_world, mut client) = with_accounts().await;
    client.run("SET statement_timeout = '30ms'").await;
    let slow = "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b";
    assert_eq!(client.refused(slow).await, "57014 canceling statement due to statement timeout");
    client.run("RESET statement_timeout").await;
    let cancel = client.session.canceller();
    let statement = client.session.split(slow).unwrap().pop().unwrap();
    tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        cancel.cancel(Reason::UserRequest);
    });
    let outcome = match client.session.run(statement, true).await {
        Ok(reply) => collect(reply).await.map(drop),
        Err(error) => Err(error),
    };
    assert_eq!(outcome.unwrap_err().message(), "canceling statement due to user request");
}

#[tokio::test]
async fn who_and_why_are_kept_with_the_commit() {
    let (_world, mut client) = with_accounts().await;
    client.run("SET chronogate.actor = 'ann'; SET chronogate.context = '{\"a\": 1, \"b\": 1}'").await;
    client.run("BEGIN; SET LOCAL chronogate.reason = 'audit'").await;
    client.run("DELETE FROM accounts WHERE id = 1 /*Bemi {\"b\": 2} Bemi*/").await;
    client.run("COMMIT").await;
    let newest = client.session.database.snapshot().commit;
    let log: Vec<_> = client.session.database.commits(newest, newest).try_concat().await.unwrap();
    let context = &log[0].context;
    assert_eq!(
        (context.user.as_str(), context.actor.as_deref(), context.reason.as_deref()),
        ("chief", Some("ann"), Some("audit"))
    );
    assert_eq!(context.context.as_deref(), Some("{\"a\":1,\"b\":2}"));
}

/// A child that comes while its parent goes: whoever commits second loses.
#[tokio::test]
async fn a_parent_and_its_new_child_do_not_both_commit() {
    let world = World::new().await;
    let mut a = world.client().await;
    let mut b = world.client().await;
    a.run("CREATE TABLE parent (id int PRIMARY KEY, code int UNIQUE)").await;
    a.run("CREATE TABLE child (id int PRIMARY KEY, p int REFERENCES parent ON DELETE CASCADE, c int REFERENCES parent (code))")
        .await;
    for (insert, delete) in [
        ("INSERT INTO child VALUES (1, 1, NULL)", "DELETE FROM parent WHERE id = 1"),
        ("INSERT INTO child VALUES (1, NULL, 7)", "UPDATE parent SET code = 8 WHERE id = 1"),
        ("UPDATE child SET p = 1 WHERE id = 9", "DELETE FROM parent WHERE id = 1"),
    ] {
        a.run("DELETE FROM child; DELETE FROM parent").await;
        a.run("INSERT INTO parent VALUES (1, 7); INSERT INTO child VALUES (9, NULL, NULL)").await;
        a.run("BEGIN").await;
        a.run(insert).await;
        b.run(delete).await;
        assert!(a.refused("COMMIT").await.starts_with("40001"), "{insert}");
        a.run("DELETE FROM child; DELETE FROM parent").await;
        a.run("INSERT INTO parent VALUES (1, 7); INSERT INTO child VALUES (9, NULL, NULL)").await;
        b.run("BEGIN").await;
        b.run(delete).await;
        a.run(insert).await;
        assert!(b.refused("COMMIT").await.starts_with("40001"), "{delete}");
    }
}

/// The same where each statement stands alone: it runs again and is told what is true by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn references_hold_among_writers_that_run_at_once() {
    let world = World::new().await;
    let mut client = world.client().await;
    client.run("CREATE TABLE parent (id int PRIMARY KEY)").await;
    client.run("CREATE TABLE child (id int PRIMARY KEY, p int NOT NULL REFERENCES parent)").await;
    let mut writers = Vec::new();
    for writer in 0..4 {
        let mut client = world.client().await;
        writers.push(tokio::spawn(async move {
            for n in 0..20 {
                let statement = match writer {
                    0 => format!("INSERT INTO parent VALUES ({})", n % 4),
                    1 => format!("DELETE FROM parent WHERE id = {}", n % 4),
                    2 => format!("INSERT INTO child VALUES ({n}, {})", n % 4),
                    _ => format!("DELETE FROM child WHERE id = {}", n - 2),
                };
                // Refused or not, but never half done.
                let _ = client.answers(&statement).await;
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let orphans = client.rows("SELECT count(*) FROM child LEFT JOIN parent ON parent.id = child.p WHERE parent.id IS NULL").await;
    assert_eq!(orphans, ["0"]);
}

#[tokio::test]
async fn a_foreign_key_that_is_new_holds_for_those_who_do_not_know_it_yet() {
    let world = World::new().await;
    let mut a = world.client().await;
    let mut b = world.client().await;
    a.run("CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int PRIMARY KEY, p int)").await;
    a.run("INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1, 1)").await;
    b.run("BEGIN").await;
    b.run("DELETE FROM parent WHERE id = 1").await;
    a.run("ALTER TABLE child ADD FOREIGN KEY (p) REFERENCES parent").await;
    assert!(b.refused("COMMIT").await.starts_with("40001"));
    a.run("BEGIN").await;
    a.run("ALTER TABLE child ADD CONSTRAINT again FOREIGN KEY (p) REFERENCES parent").await;
    b.run("INSERT INTO parent VALUES (2)").await;
    assert!(a.refused("COMMIT").await.starts_with("40001"), "the rows that were checked have changed");
}

#[tokio::test]
async fn a_panic_in_the_engine_is_an_error_of_its_statement() {
    let (_world, mut client) = with_accounts().await;
    client.run("BEGIN").await;
    client.run("DELETE FROM accounts WHERE id = 1").await;
    client.run("SAVEPOINT s").await;
    for text in [
        "SELECT panic_on_purpose(1)",
        "SELECT panic_on_purpose(balance) FROM accounts",
        "DELETE FROM accounts WHERE panic_on_purpose(balance)",
    ] {
        assert_eq!(client.error(text).await.code(), SqlState::INTERNAL_ERROR, "{text}");
        assert_eq!(client.session.transaction_status(), TransactionStatus::Failed);
        client.run("ROLLBACK TO s").await;
    }
    assert_eq!(client.rows("SELECT id FROM accounts").await, ["2"]);
    client.run("COMMIT").await;
    assert_eq!(client.rows("SELECT id FROM accounts").await, ["2"]);
}
