//! The whole of a store in a BTreeMap: slow, obvious, and the oracle that stores are compared with.
