//! Who we are at a registry: docker's configuration, credential helpers, secrets.
