//! The rules of visibility and loading, by example.
