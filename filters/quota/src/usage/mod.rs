//! What a response says that it cost.
