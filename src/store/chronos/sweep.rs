//! Which objects are garbage. Decides only; whoever deletes asks again right before.
//!
//! Garbage is what failed writes and hard deletes left behind. When in doubt an object is kept: one that is young, that
//! something points to or may soon, or whose name is not of a form that we or the library give.

use super::keys::{self, Named};

/// An object as a listing shows it.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'o> {
    pub key: &'o str,
    /// Milliseconds since the epoch, by the service's clock.
    pub modified: i64,
}

/// What is known of the item an object is named after, all read after the listing.
#[derive(Clone, Copy)]
pub struct Known<'k> {
    /// Keys that the head, any version row or any of their payloads (for blobs and texts) points to.
    pub pointed_to: &'k dyn Fn(&str) -> bool,
    /// Whether all of those payloads could be read. While one could not, nothing is known of blobs and texts.
    pub payloads_read: bool,
    /// The greatest number of the head and all rows; `None` when there is no document of the item.
    pub newest: Option<u64>,
    /// Whether a lock row of the item is there, expired or not.
    pub locked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Sweep,
    Keep(Reason),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Not a name that we or the library give.
    Foreign,
    /// Younger than the grace period: its write may not have reached the index yet.
    Young,
    PointedTo,
    /// A write of the item is on its way, or was given up without unlocking.
    Locked,
    /// Its number is greater than the item's newest: the next write may be this one.
    Next,
    /// A payload that might point to it cannot be read.
    Unknown,
}

/// `now` by the service's clock, as the objects' times are. An object is swept from `modified + grace` on.
pub fn judge(object: Listed<'_>, known: Known<'_>, now: i64, grace_ms: i64) -> Verdict {
    let Some(named) = keys::named(object.key) else { return Verdict::Keep(Reason::Foreign) };
    if object.modified.saturating_add(grace_ms) > now {
        return Verdict::Keep(Reason::Young);
    }
    if (known.pointed_to)(object.key) {
        return Verdict::Keep(Reason::PointedTo);
    }
    if known.locked {
        return Verdict::Keep(Reason::Locked);
    }
    match named {
        Named::Payload { version, .. } | Named::Blob { version, .. } | Named::Text { version, .. }
            if known.newest.is_some_and(|newest| version > newest) =>
        {
            Verdict::Keep(Reason::Next)
        }
        Named::Blob { .. } | Named::Text { .. } if !known.payloads_read => Verdict::Keep(Reason::Unknown),
        Named::Payload { .. } | Named::Blob { .. } | Named::Text { .. } | Named::Own => Verdict::Sweep,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::samples;
    use super::*;

    const DAY: i64 = 86_400_000;
    const PAYLOAD: &str = "users/0123456789abcdef01234567/v2/item.json";
    const BLOB: &str = "users/a.b/0123456789abcdef01234567/v2/blob.bin";

    fn known(newest: Option<u64>, pointed_to: &dyn Fn(&str) -> bool) -> Known<'_> {
        Known { pointed_to, payloads_read: true, newest, locked: false }
    }

    fn check(key: &str, age: i64, known: Known<'_>, verdict: Verdict) {
        let listed = Listed { key, modified: 10 * DAY };
        assert_eq!(judge(listed, known, 10 * DAY + age, DAY), verdict, "{key}");
    }

    #[test]
    fn only_what_is_old_and_pointed_to_by_nothing_is_swept() {
        let none = |_: &str| false;
        check(PAYLOAD, DAY, known(Some(5), &none), Verdict::Sweep);
        check(PAYLOAD, DAY, known(None, &none), Verdict::Sweep);
        check(PAYLOAD, DAY - 1, known(Some(5), &none), Verdict::Keep(Reason::Young));
        check(PAYLOAD, DAY, known(Some(5), &|key| key == PAYLOAD), Verdict::Keep(Reason::PointedTo));
        check(PAYLOAD, DAY, Known { locked: true, ..known(Some(5), &none) }, Verdict::Keep(Reason::Locked));
        check(PAYLOAD, DAY, known(Some(1), &none), Verdict::Keep(Reason::Next));
        check(PAYLOAD, DAY, known(Some(2), &none), Verdict::Sweep);
        check(BLOB, DAY, Known { payloads_read: false, ..known(Some(5), &none) }, Verdict::Keep(Reason::Unknown));
        check(BLOB, DAY, known(Some(5), &none), Verdict::Sweep);
        check("__payloads__/ab/abcd.json", DAY, known(None, &none), Verdict::Sweep);
        for foreign in [
            "logo.png",
            "users/x/v2/item.json",
            "__manifests__/users/2026/01/snapshot-3.json.gz",
            "a/0123456789abcdef01234567/v02/item.json",
        ] {
            check(foreign, DAY, known(None, &none), Verdict::Keep(Reason::Foreign));
        }
    }

    /// Nothing that a document of the data set points to is ever swept.
    #[test]
    fn no_payload_of_the_data_set_is_garbage() {
        let mut judged = 0;
        for (database, collection) in samples::collections("main") {
            let database = database.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
            for item in samples::items("main", &database, &collection).values() {
                let keys: Vec<&str> = item
                    .rows
                    .iter()
                    .map(|row| row.payload.key.as_str())
                    .chain(item.head.iter().map(|head| head.payload.key.as_str()))
                    .collect();
                let newest = item.rows.iter().map(|row| row.number).max();
                let pointed = |key: &str| keys.contains(&key);
                for key in &keys {
                    let listed = Listed { key, modified: 0 };
                    assert_eq!(judge(listed, known(newest, &pointed), i64::MAX, DAY), Verdict::Keep(Reason::PointedTo));
                    judged += 1;
                }
            }
        }
        assert!(judged > 1000, "{judged}");
    }

    proptest! {
        #[test]
        fn what_is_pointed_to_young_or_foreign_is_kept(
            key in "[a-z_.]{1,8}(/[0-9a-f]{24})?(/v[0-9]{1,3})?/(item.json|blob.bin|text.txt)",
            modified in -1_000..1_000i64,
            now in -1_000..3_000i64,
            newest in prop::option::of(0..9u64),
            points in any::<bool>(),
        ) {
            let verdict = judge(Listed { key: &key, modified }, known(newest, &|_| points), now, 500);
            let sweepable = keys::named(&key).is_some() && modified + 500 <= now && !points;
            prop_assert!(verdict != Verdict::Sweep || sweepable);
        }
    }
}
