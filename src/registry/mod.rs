//! Registries. The only room that names the HTTP client.
