//! The resources whose responses a test chooses.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use http::Response;

use super::received::Received;
use super::response::ServerResponse;

use crate::sync::{self, Mutex};

#[derive(Default)]
pub(super) struct ScriptedResources(Mutex<HashMap<String, Arc<Script>>>);

type Script = dyn Fn(&Received) -> Response<Vec<u8>> + Send + Sync;

impl ScriptedResources {
    pub(super) fn insert(&self, path: String, script: Arc<Script>) {
        sync::lock(&self.0).insert(path, script);
    }

    /// Returns the response to a request, if there is a script for its target or its path. A script that
    /// panics responds with status 500.
    pub(super) fn respond(&self, path: &str, request: &Received) -> Option<ServerResponse> {
        // The lock is not held while the script runs: it may make requests itself.
        let script = {
            let scripts = sync::lock(&self.0);
            scripts.get(&request.target).or_else(|| scripts.get(path)).map(Arc::clone)?
        };
        let response = catch_unwind(AssertUnwindSafe(|| script(request)));
        Some(response.map_or_else(|_| ServerResponse::new(500), Into::into))
    }
}
