//! A small HTTP/1.1 load generator: one thread, many keep-alive connections.
//!
//! The usual ones tell how fast a server was. A flash sale must also be judged answer by answer:
//! who was let in, who was refused and how, and whether anybody waited for ever. So this one can
//! write down what became of every single request, gives each request a user of its own, and
//! treats a request without an answer as a result, not as an accident.

pub mod cli;
mod connection;
pub mod histogram;
pub mod record;
pub mod report;
pub mod response;
pub mod run;
pub mod template;
