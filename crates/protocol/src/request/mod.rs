//! The body of each request and of its answer: parsed, checked and written in one place.

