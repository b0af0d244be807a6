//! Names of hosts that this machine and the newer engine's system know while a test lasts.

use std::process::Command;

use super::parts;

/// Runs where the names are to be known.
const SCRIPT: &str = include_str!("hosts.sh");

/// The lines; they go when this is dropped.
#[derive(Debug)]
pub(super) struct Hosts {
    mark: String,
}

impl Hosts {
    /// Has `ADDRESS HOST` lines of an account.
    pub(super) async fn add(account: &str, lines: &[String]) -> Self {
        let hosts = Self { mark: format!("{}.{account}", std::process::id()) };
        for mut command in hosts.commands() {
            command.args(lines);
            parts::printed(&parts::output(command.into()).await);
        }
        hosts
    }

    fn commands(&self) -> [Command; 2] {
        let mut inside = Command::new(parts::variable("POLYARCH_TEST_TOOLS", None));
        inside.arg("sh");
        let mut commands = [Command::new("sh"), inside];
        for command in &mut commands {
            command.args(["-c", SCRIPT, "hosts", &self.mark]);
        }
        commands
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for mut command in self.commands() {
            let removed = command.status();
            assert!(removed.is_ok_and(|status| status.success()), "lines of {} are left in /etc/hosts", self.mark);
        }
    }
}
