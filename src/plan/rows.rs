//! Rows of a table as batches: which columns, which key, which index entries.
