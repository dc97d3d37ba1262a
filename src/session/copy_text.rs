//! COPY's text and csv formats.
