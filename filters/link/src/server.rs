//! Where Redis is, as the parameters of a filter tell it.

use core::time::Duration;

use serde::Deserialize;

use crate::settings::{Settings, Via};

/// The longest deadline of a decision, in milliseconds.
const MAX_DEADLINE_MS: u64 = 60_000;

/// How Redis is reached. Its password is in no parameters, as these end in configuration dumps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Server {
    /// The Envoy cluster of the bridge to Redis.
    pub cluster: String,
    /// How long a decision may take, in milliseconds.
    pub deadline_ms: u64,
    /// The user name for AUTH; empty for the default user.
    pub username: String,
    /// The environment variable that holds the password; empty when there is none.
    pub password_env: String,
    /// The database number.
    pub database: u32,
    /// Straight to Redis, or through Envoy's Redis proxy, which hides the server behind it.
    pub via: Via,
}

impl Server {
    /// Looks for what no link can be made with.
    ///
    /// # Errors
    /// One line that names the field and what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        if self.cluster.is_empty() {
            return Err("cluster: empty".into());
        }
        if !(1..=MAX_DEADLINE_MS).contains(&self.deadline_ms) {
            let given = self.deadline_ms;
            return Err(format!("deadlineMs: {given} is not in 1 to {MAX_DEADLINE_MS}"));
        }
        Ok(())
    }

    /// The settings of a link to it.
    pub fn settings(&self, password: String) -> Settings {
        let deadline = Duration::from_millis(self.deadline_ms);
        let mut settings = Settings::with_deadline(&*self.cluster, deadline);
        settings.username.clone_from(&self.username);
        settings.password = password;
        settings.database = self.database;
        settings.via = self.via;
        settings
    }
}
