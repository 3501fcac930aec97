//! What a Redis server says about itself (`INFO`).
//!
//! `CONFIG` is not used, because managed services do not allow it.

use std::time::Duration;

use redis::{ConnectionLike, FromRedisValue, RedisError, ServerErrorKind, Value};

use super::problem::Problem;

/// The facts about one server that decide whether it can keep proofs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerInfo {
    /// Random, and another one after each start.
    pub(super) run_id: String,
    /// How long it has been running, in whole seconds.
    pub(super) uptime: Duration,
    /// Its clock: the time since 1970. Redis tells it since 6.2.
    pub(super) time: Option<Duration>,
    pub(super) is_primary: bool,
    /// What happens when the memory is full: `noeviction`, or a policy that removes live entries.
    pub(super) eviction_policy: String,
    /// How many live entries it removed since it was started, or since its statistics were reset.
    pub(super) evicted_keys: u64,
}

impl ServerInfo {
    /// Asks the server, or each primary of a cluster.
    pub(super) fn request(connection: &mut impl ConnectionLike) -> Result<Vec<Self>, Problem> {
        let response = connection.req_command(&redis::cmd("INFO")).and_then(Value::extract_error);
        let texts = match response.map_err(|error| refused(&error, "INFO"))? {
            // A connection to a cluster asks every primary, and returns a map by their addresses.
            Value::Map(by_address) => by_address.into_iter().map(|(_, text)| text).collect(),
            text => vec![text],
        };
        let parse = |text| {
            let text = String::from_redis_value(text)
                .map_err(|_| Problem::response("the response to INFO is not a text"))?;
            Self::parse(&text)
        };
        let servers = texts.into_iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        if servers.len() > 1 && servers.iter().any(|server| server.time.is_none()) {
            let wrong = "the servers of the cluster do not show their time in INFO (use Redis 6.2 or newer)";
            return Err(Problem::configuration(wrong));
        }
        Ok(servers)
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let field = |name: &str| {
            let mut fields = text.lines().filter_map(|line| line.split_once(':'));
            fields.find(|(key, _)| *key == name).map(|(_, value)| value.trim())
        };
        let required = |name: &str| {
            field(name).ok_or_else(|| {
                Problem::configuration(format!("the response to INFO does not contain `{name}`"))
            })
        };
        let number = |name: &str| field(name).and_then(|value| value.parse().ok());
        Ok(Self {
            run_id: required("run_id")?.to_owned(),
            uptime: Duration::from_secs(number("uptime_in_seconds").unwrap_or_default()),
            time: number("server_time_usec").map(Duration::from_micros),
            is_primary: required("role")? == "master",
            eviction_policy: required("maxmemory_policy")?.to_owned(),
            evicted_keys: number("evicted_keys").unwrap_or_default(),
        })
    }

    /// Checks that proofs can be written to the server, and are kept.
    pub(super) fn check(&self, any_eviction_policy: bool) -> Result<(), Problem> {
        if !self.is_primary {
            return Err(Problem::configuration(
                "the server is a read-only replica (connect to its primary, or through Sentinel)",
            ));
        }
        if self.eviction_policy != "noeviction" && !any_eviction_policy {
            let policy = crate::text::printable(&self.eviction_policy, 40);
            return Err(Problem::configuration(format!(
                "`maxmemory-policy` of the server is `{policy}`, which removes live entries when memory is \
                 short, and their proofs could be used twice (set it to `noeviction`)"
            )));
        }
        Ok(())
    }
}

/// Checks that the user may ask for the time of the server, which is done with every proof.
pub(super) fn request_time(connection: &mut impl ConnectionLike) -> Result<(), Problem> {
    let response = connection.req_command(&redis::cmd("TIME")).map_err(|error| refused(&error, "TIME"))?;
    time(response).map(drop)
}

/// Returns the time in a response to `TIME`: seconds since 1970, and microseconds.
pub(super) fn time(response: Value) -> Result<Duration, Problem> {
    let response = response.extract_error().map_err(|error| refused(&error, "TIME"))?;
    let parts = Vec::<i64>::from_redis_value(response).unwrap_or_default();
    let parts: Vec<_> = parts.into_iter().filter_map(|part| u64::try_from(part).ok()).collect();
    match parts.as_slice() {
        [seconds, micros] => Ok(Duration::from_secs(*seconds).saturating_add(Duration::from_micros(*micros))),
        _ => Err(Problem::response("the response to TIME is not a time")),
    }
}

/// Returns what is wrong when a command failed that shows whether the server keeps proofs.
fn refused(error: &RedisError, command: &str) -> Problem {
    match error.kind() {
        redis::ErrorKind::Server(ServerErrorKind::NoPerm) => Problem::configuration(format!(
            "the user may not send {command}, which shows whether the server keeps proofs (NOPERM): permit it, \
             as in `ACL SETUSER name +info +time +set +ping`"
        )),
        _ => Problem::from(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Server\r\nrun_id:1c4c\r\n# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n\r\n# Replication\r\nrole:master\r\n";

    fn wrong(text: &str) -> String {
        let checked = ServerInfo::parse(text).and_then(|info| info.check(false));
        checked.map_err(|problem| problem.while_connecting().to_string()).unwrap_err()
    }

    #[test]
    fn info_shows_whether_proofs_are_kept() {
        let info = ServerInfo::parse(INFO).ok().unwrap();
        assert!(info.check(false).is_ok());
        let replica = INFO.replace("master", "slave");
        assert!(wrong(&replica).contains("read-only replica"));
        assert!(wrong(&INFO.replace("noeviction", "volatile-ttl")).contains("`volatile-ttl`"));
        let evicting = ServerInfo::parse(&INFO.replace("noeviction", "allkeys-lru")).ok().unwrap();
        assert!(evicting.check(true).is_ok());
        // The option is for the policy only.
        let replica = ServerInfo::parse(&replica.replace("noeviction", "allkeys-lru")).ok().unwrap();
        assert!(replica.check(true).is_err());
        assert!(wrong(&INFO.replace("role", "rule")).contains("`role`"));
        assert!(wrong("").contains("does not contain"));
    }
}
