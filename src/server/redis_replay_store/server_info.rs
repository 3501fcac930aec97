//! What a Redis server says about itself (`INFO`).
//!
//! `CONFIG` is not used, because managed services do not allow it.

use redis::{ConnectionLike, FromRedisValue, RedisError, ServerErrorKind, Value};

use super::problem::Problem;

/// The facts about one server that decide whether it can keep proofs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerInfo {
    pub(super) is_primary: bool,
    /// What happens when the memory is full: `noeviction`, or a policy that removes live entries.
    pub(super) eviction_policy: String,
}

impl ServerInfo {
    /// Asks the server, or each primary of a cluster.
    pub(super) fn request(connection: &mut impl ConnectionLike) -> Result<Vec<Self>, Problem> {
        let response = connection.req_command(&redis::cmd("INFO")).and_then(Value::extract_error);
        let texts = match response.map_err(|error| refused(&error))? {
            // A connection to a cluster asks every primary, and returns a map by their addresses.
            Value::Map(by_address) => by_address.into_iter().map(|(_, text)| text).collect(),
            text => vec![text],
        };
        let parse = |text| {
            let text = String::from_redis_value(text)
                .map_err(|_| Problem::response("the response to INFO is not a text"))?;
            Self::parse(&text)
        };
        texts.into_iter().map(parse).collect()
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
        Ok(Self {
            is_primary: required("role")? == "master",
            eviction_policy: required("maxmemory_policy")?.to_owned(),
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

/// Returns what is wrong when `INFO` failed.
fn refused(error: &RedisError) -> Problem {
    match error.kind() {
        redis::ErrorKind::Server(ServerErrorKind::NoPerm) => Problem::configuration(
            "the user may not send INFO, which shows whether the server keeps proofs (NOPERM): permit it, as in \
             `ACL SETUSER name +info +time +set +ping`",
        ),
        _ => Problem::from(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str =
        "# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n\r\n# Replication\r\nrole:master\r\n";

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
