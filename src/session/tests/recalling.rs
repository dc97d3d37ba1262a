//! Statements that come again: they answer as if each were met for the first time.

use super::*;

const DAY: i64 = 86_400_000_000;

async fn with_tables() -> (World, Client) {
    let world = World::new().await;
    let mut client = world.client().await;
    client
        .run(
            "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE s (k text PRIMARY KEY, v text);
             CREATE TABLE d (k date PRIMARY KEY, v text); CREATE TABLE p (a smallint, b varchar(3), v text, PRIMARY KEY (b, a));
             CREATE TABLE i (k timestamptz PRIMARY KEY, v text); CREATE TABLE n (k numeric(6,2) PRIMARY KEY, v text)",
        )
        .await;
    for day in 1..=3 {
        client
            .run(&format!(
                "INSERT INTO t VALUES ({day}, 't'), ({day}0, 't'); INSERT INTO s VALUES ('{day}', 's');
                 INSERT INTO d VALUES ('2024-01-0{day}', 'd'); INSERT INTO p VALUES ({day}, 'b', 'p'), ({day}, 'b  ', 'p');
                 INSERT INTO i VALUES ('2024-01-0{day} 12:00+00', 'i'); INSERT INTO n VALUES ({day}, 'n');
                 UPDATE t SET v = v || {day}; UPDATE s SET v = v || {day}"
            ))
            .await;
        world.clock.advance(DAY);
    }
    client.run("DELETE FROM t WHERE id = 2").await;
    world.clock.advance(DAY);
    (world, client)
}

impl Client {
    /// Parse, Describe, Bind, Execute and Sync of one text without parameters.
    async fn sent(&mut self, text: &str) -> std::result::Result<String, String> {
        self.session.canceller();
        let answer = match self.session.parse("", text, &[]).await {
            Ok(()) => {
                let described = self.session.describe_statement("").map(|d| d.columns);
                let answer = self.bound_unnamed().await;
                answer.map(|answer| format!("{described:?} {answer:?}"))
            }
            Err(error) => Err(error),
        };
        if let Err(error) = &answer {
            self.session.failed(error).await;
        }
        self.session.sync().await.unwrap();
        let notices = self.notices();
        let place = |error: SqlError| format!("{} {} {:?} {notices:?}", error.code(), error.message(), error.fields().position);
        answer.map(|answer| format!("{answer} {notices:?}")).map_err(place)
    }

    async fn bound_unnamed(&mut self) -> Result<Answer> {
        self.session.bind("", "", &[], &[], &[]).await?;
        collect(self.session.execute_last("").await?).await
    }

    fn knew_it(&self) -> bool {
        self.session.statement("").is_ok_and(|kept| kept.is_recalled())
    }
}

const INSTANTS: &[&str] = &[
    "2024-01-02",
    "2024-01-02 23:59:59.999999",
    "2024-01-03 00:00+02",
    "2024-01-04T00:00:00Z",
    "2023-12-31",
    "2999-01-01",
    "v3",
    "3",
    "v0",
    "-1h",
    "2 days",
    "today",
    "yesterday",
    "",
    "now",
    "2024-13-01",
    "2024-01-0x",
    "infinity",
    "12:00",
    "2024",
];

const KEYS: &[&str] = &[
    "1",
    "'1'",
    "2",
    "' 2 '",
    "'02'",
    "03",
    "30",
    "40000",
    "3000000000",
    "99999999999999999999",
    "'x'",
    "''",
    "'2024-01-02'",
    "'today'",
    "'2024-01-02 13:00+01'",
    "'2024-01-02 12:00'",
    "'b'",
    "'b  '",
    "'1.00'",
    "'-1'",
];

/// Every statement that reads one item, with every literal, in a session that has seen ones like it, and in one that has not.
#[tokio::test]
async fn a_statement_known_by_its_shape_answers_as_a_new_one() {
    let (world, mut client) = with_tables().await;
    let mut known = 0;
    for set in ["SET TimeZone = 'UTC'", "SET TimeZone = 'Asia/Tokyo'", "SET chronogate.as_of = '2024-01-03'"] {
        client.run("RESET ALL").await;
        client.run(set).await;
        client.notices();
        let mut texts = Vec::new();
        for table in ["t", "s", "d", "i", "n"] {
            let key = if table == "t" { "id" } else { "k" };
            for value in KEYS {
                texts.push(format!("SELECT * FROM {table} WHERE {key} = {value}"));
                texts.push(format!("SELECT v FROM {table} FOR SYSTEM_TIME AS OF '2024-01-03' WHERE {value} = {key}"));
                texts.push(format!("SELECT v FROM p WHERE a = {value} AND b = 'b'"));
                texts.push(format!("SELECT v FROM p WHERE b = {value} AND a = 1"));
                texts.push(format!("SELECT v FROM {table} WHERE {key} = -{value}"));
                texts.push(format!("SELECT v FROM {table} WHERE {key} = {value} LIMIT 1"));
                texts.push(format!("SELECT v, {value} FROM {table} WHERE {key} = 1"));
            }
        }
        for at in INSTANTS {
            texts.push(format!("SELECT * FROM t FOR SYSTEM_TIME AS OF TIMESTAMP '{at}' WHERE id = 2"));
            texts.push(format!("SELECT * FROM t FOR SYSTEM_TIME AS OF '{at}' WHERE id = 2"));
            texts.push(format!("SELECT * FROM t AS OF '{at}' WHERE id = 1"));
            texts.push(format!("SELECT * FROM t AS OF TIMESTAMP '{at}' WHERE id = 1"));
            texts.push(format!("SELECT * FROM t FOR SYSTEM_TIME AS OF TIMESTAMPTZ '{at}' WHERE id = 1"));
            texts.push(format!("SELECT * FROM t FOR TIMESTAMP AS OF '{at}' WHERE id = 1"));
            texts.push(format!("SELECT * FROM t FOR VERSION AS OF '{at}' WHERE id = 1"));
            texts.push(format!("SELECT * FROM t WHERE id = 1 AS OF SYSTEM TIME '{at}'"));
            texts.push(format!("SELECT * FROM t AT (TIMESTAMP => '{at}') WHERE id = 1"));
        }
        for text in texts {
            let mut stranger = world.client().await;
            stranger.run(set).await;
            stranger.notices();
            let new = stranger.sent(&text).await;
            let recalled = client.sent(&text).await;
            assert_eq!(recalled, new, "{text} after {set}");
            known += u32::from(client.knew_it());
        }
    }
    assert!(known > 400, "only {known} statements were known by their shape");
}

#[tokio::test]
async fn a_known_statement_follows_definitions_settings_and_rights() {
    let (world, mut client) = with_tables().await;
    client.run("CREATE ROLE reader LOGIN; CREATE ROLE readers; GRANT readers TO reader; GRANT SELECT ON t, s TO readers").await;
    let mut reader = world.open("reader", "chronogate", &[]).await.unwrap();
    let texts = ["SELECT * FROM t WHERE id = 1", "SELECT v FROM t AS OF '2024-01-02' WHERE id = 1", "SELECT count(*) FROM s"];
    for change in [
        "SET work_mem = '8MB'",
        "ALTER TABLE t ADD COLUMN w int DEFAULT 7",
        "ALTER TABLE t RENAME COLUMN v TO u; ALTER TABLE t ADD COLUMN v text",
        "CREATE SCHEMA other; CREATE TABLE other.t (id int PRIMARY KEY, v int); GRANT SELECT ON other.t TO readers; GRANT USAGE ON SCHEMA other TO readers",
        "REVOKE readers FROM reader",
        "GRANT readers TO reader",
        "REVOKE SELECT ON t FROM readers",
        "GRANT SELECT ON t TO readers; DROP TABLE t; CREATE TABLE t (id text PRIMARY KEY, v text); GRANT SELECT ON t TO readers",
    ] {
        for text in texts {
            for _ in 0..3 {
                let _ = reader.sent(text).await;
            }
        }
        client.run(change).await;
        for text in texts {
            let new = world.open("reader", "chronogate", &[]).await.unwrap().sent(text).await;
            assert_eq!(reader.sent(text).await, new, "{text} after {change}");
        }
    }
    for set in ["SET search_path = other, public", "SET chronogate.as_of = '2024-01-02 12:00'", "SET search_path = nowhere"] {
        reader.run(set).await;
        for text in texts {
            let mut new = world.open("reader", "chronogate", &[]).await.unwrap();
            new.run("SET search_path = public").await;
            let path = if set.contains("nowhere") { "nowhere" } else { "other, public" };
            new.run(&format!("SET search_path = {path}")).await;
            if !set.contains("other") {
                new.run("SET chronogate.as_of = '2024-01-02 12:00'").await;
            }
            new.notices();
            reader.notices();
            assert_eq!(reader.sent(text).await, new.sent(text).await, "{text} after {set}");
        }
    }
}

#[tokio::test]
async fn a_text_that_comes_again_is_analysed_once_and_is_never_stale() {
    let (_world, mut client) = with_tables().await;
    for _ in 0..3 {
        assert!(client.sent("SELECT 1").await.unwrap().contains("(\"SELECT 1\", [\"1\"])"));
        assert!(client.sent("SELECT 'x' AS a, NULL, true").await.unwrap().contains("[\"x|null|t\"]"));
        assert!(client.sent("SELECT count(*) FROM t").await.unwrap().contains("[\"5\"]"));
        assert!(client.sent("SELECT 1 / 0").await.unwrap_err().starts_with("22012"));
    }
    client.run("INSERT INTO t VALUES (77, 'x')").await;
    assert!(client.sent("SELECT count(*) FROM t").await.unwrap().contains("[\"6\"]"));
    for n in 0..3 {
        client.sent("INSERT INTO t (id, v) SELECT max(id) + 1, 'y' FROM t").await.unwrap();
        assert!(client.sent("SELECT count(*) FROM t").await.unwrap().contains(&format!("[\"{}\"]", 7 + n)));
    }
    let before = client.sent("SELECT now()").await.unwrap();
    client.run("BEGIN").await;
    assert!(client.sent("SELECT nope").await.unwrap_err().starts_with("42703"));
    assert!(client.sent("SELECT 1").await.unwrap_err().starts_with("25P02"));
    client.run("ROLLBACK").await;
    _world.clock.advance(DAY);
    assert_ne!(client.sent("SELECT now()").await.unwrap(), before);
    client.run("DISCARD PLANS").await;
    assert!(client.sent("SELECT 1").await.unwrap().contains("[\"1\"]"));
}
