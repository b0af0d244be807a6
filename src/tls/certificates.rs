//! The certificates of one server: authorities that polyarch trusts for it, and the certificate that polyarch shows.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// The largest certificate file that polyarch reads, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The certificates of one registry or engine, read and parsed (PEM, RFC 7468). No private key is ever printed.
#[derive(Clone, Default)]
pub struct Certificates {
    pub(crate) authorities: Vec<CertificateDer<'static>>,
    pub(crate) client: Option<Arc<CertifiedKey>>,
}

impl Certificates {
    /// Trusts the authorities in `pem` for this server. The server may also use one of these certificates as its own, as
    /// `openssl req -x509` creates them.
    ///
    /// # Errors
    /// The text has no certificate, or polyarch cannot read one of them.
    pub fn trust(&mut self, pem: &[u8]) -> Result<(), CertificateFault> {
        self.authorities.extend(certificates(pem)?);
        Ok(())
    }

    /// Shows the certificate in `pem` and its chain to this server. An `https://` proxy of a registry that asks for a
    /// certificate gets it, too, because the HTTP client has one TLS configuration for both.
    ///
    /// # Errors
    /// The certificate or the key is missing, cannot be read, or does not belong to the other.
    pub fn show(&mut self, pem: &[u8], key: &[u8]) -> Result<(), CertificateFault> {
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| CertificateFault::of_key(key))?;
        let client = CertifiedKey::from_der(certificates(pem)?, key, &ring::default_provider());
        self.client = Some(Arc::new(client.map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => CertificateFault::Foreign,
            _ => CertificateFault::Malformed,
        })?));
        Ok(())
    }

    /// Trusts the authorities in `file`, like [`Self::trust`].
    ///
    /// # Errors
    /// polyarch cannot read the file, or as for [`Self::trust`].
    pub fn trust_file(&mut self, file: &Path) -> Result<(), CertificateError> {
        let pem = read(file)?;
        self.trust(&pem).map_err(|fault| CertificateError::of(file, fault))
    }

    /// Shows the certificate in `file`, like [`Self::show`].
    ///
    /// # Errors
    /// polyarch cannot read a file, or as for [`Self::show`].
    pub fn show_file(&mut self, file: &Path, key: &Path) -> Result<(), CertificateError> {
        let (pem, key_pem) = (read(file)?, read(key)?);
        self.show(&pem, &key_pem).map_err(|fault| {
            let is_of_key = matches!(fault, CertificateFault::NoKey | CertificateFault::Locked);
            CertificateError::of(if is_of_key { key } else { file }, fault)
        })
    }

    /// Reads a registry's directory in docker's `certs.d`. Authorities are in `*.crt`. A client certificate is in
    /// `NAME.cert`, with its key in `NAME.key` (moby, `registry`, `ReadCertsDirectory`; containers-certs.d(5)). If
    /// there are several client certificates, polyarch shows the first one by name. A directory that does not exist has
    /// no certificates. polyarch skips files that only another user may read: an engine runs as root, and often only
    /// root may read its key.
    ///
    /// # Errors
    /// polyarch cannot read or use the directory or a file in it, or a certificate or key lacks its partner.
    pub fn read_directory(&mut self, directory: &Path) -> Result<(), CertificateError> {
        let unread = |error| CertificateError::of(directory, CertificateFault::Read(error));
        let entries = match std::fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied
                ) =>
            {
                return Ok(());
            }
            Err(error) => return Err(unread(error)),
        };
        let files = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>();
        let mut files = files.map_err(unread)?;
        files.sort();
        for file in &files {
            match file.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => or_of_another_user(self.trust_file(file))?,
                Some("cert") => {
                    let key = file.with_extension("key");
                    if !files.contains(&key) {
                        return Err(CertificateError::of(file, CertificateFault::WithoutKey));
                    }
                    if self.client.is_none() {
                        or_of_another_user(self.show_file(file, &key))?;
                    }
                }
                Some("key") if !files.contains(&file.with_extension("cert")) => {
                    return Err(CertificateError::of(file, CertificateFault::WithoutCertificate));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether there are no settings. polyarch then trusts the system's authorities and shows no certificate.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.authorities.is_empty() && self.client.is_none()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (authorities, shows) = (self.authorities.len(), self.client.is_some());
        f.debug_struct("Certificates").field("authorities", &authorities).field("shows", &shows).finish()
    }
}

/// Skips a file that this user may not read.
fn or_of_another_user(read: Result<(), CertificateError>) -> Result<(), CertificateError> {
    match read {
        Err(CertificateError { fault: CertificateFault::Read(error), .. })
            if error.kind() == io::ErrorKind::PermissionDenied =>
        {
            Ok(())
        }
        read => read,
    }
}

fn read(file: &Path) -> Result<Vec<u8>, CertificateError> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|opened| opened.take(MAX_FILE + 1).read_to_end(&mut bytes));
    read.map_err(|error| CertificateError::of(file, CertificateFault::Read(error)))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(CertificateError::of(file, CertificateFault::Large));
    }
    Ok(bytes)
}

/// The certificates in a text, at least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateFault> {
    let read = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let found = read.map_err(|_| CertificateFault::Malformed)?;
    if found.is_empty() {
        return Err(CertificateFault::of_nothing(pem));
    }
    let mut roots = RootCertStore::empty();
    for certificate in &found {
        roots.add(certificate.clone()).map_err(|_| CertificateFault::Malformed)?;
    }
    Ok(found)
}

/// A file of certificates or keys that polyarch cannot use.
#[derive(Debug, thiserror::Error)]
#[error("{} {fault}", .path.display())]
pub struct CertificateError {
    path: PathBuf,
    #[source]
    fault: CertificateFault,
}

/// Why polyarch cannot use a certificate or a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateFault {
    /// polyarch cannot read the file.
    #[error("cannot be read")]
    Read(#[source] io::Error),
    /// The file is larger than any file of certificates.
    #[error("is larger than {MAX_FILE} bytes")]
    Large,
    /// The file is empty.
    #[error("is empty")]
    Empty,
    /// The file is binary (DER, X.690), but polyarch expects text (PEM).
    #[error("is in the format DER, not PEM")]
    Der,
    /// The file is text without a certificate.
    #[error("has no certificate")]
    NoCertificate,
    /// polyarch cannot read a certificate or a key in the file.
    #[error("has a certificate or a key that cannot be read")]
    Malformed,
    /// The file has no private key.
    #[error("has no private key")]
    NoKey,
    /// A password protects the private key.
    #[error("has a private key that a password protects")]
    Locked,
    /// The certificate and the key do not belong together.
    #[error("is not the certificate of its key")]
    Foreign,
    /// The key of a client certificate is missing.
    #[error("has no key beside it")]
    WithoutKey,
    /// The certificate of a key is missing.
    #[error("has no certificate beside it")]
    WithoutCertificate,
}

impl CertificateFault {
    fn of_nothing(bytes: &[u8]) -> Self {
        // A DER certificate begins with the tag of a SEQUENCE.
        match bytes.trim_ascii() {
            [] => Self::Empty,
            [0x30, ..] => Self::Der,
            _ => Self::NoCertificate,
        }
    }

    fn of_key(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        if text.contains("ENCRYPTED") { Self::Locked } else { Self::NoKey }
    }
}

impl CertificateError {
    fn of(path: &Path, fault: CertificateFault) -> Self {
        Self { path: path.to_owned(), fault }
    }

    /// The next step for the user, in one line.
    #[must_use]
    pub fn hint(&self) -> String {
        let file = self.path.display();
        match &self.fault {
            CertificateFault::Read(_) => format!("make {file} readable, or name another file"),
            CertificateFault::Der => {
                format!(
                    "convert it: openssl x509 -inform der -in {file} -out {}",
                    self.path.with_extension("pem").display()
                )
            }
            CertificateFault::Locked => format!("remove the password: openssl pkey -in {file} -out NEW.key"),
            CertificateFault::NoKey => "name a file with -----BEGIN PRIVATE KEY-----".to_owned(),
            CertificateFault::Foreign => "name a certificate and a key that belong together".to_owned(),
            CertificateFault::WithoutKey => format!(
                "add {}; if it is an authority's certificate, name it *.crt",
                self.path.with_extension("key").display()
            ),
            CertificateFault::WithoutCertificate => format!("add {}", self.path.with_extension("cert").display()),
            CertificateFault::Large
            | CertificateFault::Empty
            | CertificateFault::NoCertificate
            | CertificateFault::Malformed => "name a file with -----BEGIN CERTIFICATE-----".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Made {
        certificate: String,
        der: Vec<u8>,
        key: String,
    }

    fn made() -> Made {
        let made = rcgen::generate_simple_self_signed(["client".to_owned()]).unwrap();
        Made { certificate: made.cert.pem(), der: made.cert.der().to_vec(), key: made.signing_key.serialize_pem() }
    }

    fn trust(pem: &[u8]) -> Result<(), CertificateFault> {
        Certificates::default().trust(pem)
    }

    #[test]
    fn authority_that_is_not_pem_is_refused() {
        let made = made();
        assert!(matches!(trust(b""), Err(CertificateFault::Empty)));
        assert!(matches!(trust(b" \n"), Err(CertificateFault::Empty)));
        assert!(matches!(trust(&made.der), Err(CertificateFault::Der)));
        assert!(matches!(trust(made.key.as_bytes()), Err(CertificateFault::NoCertificate)));
        assert!(matches!(trust(b"ghcr.io"), Err(CertificateFault::NoCertificate)));
        let cut = &made.certificate[..made.certificate.len() / 2];
        assert!(trust(cut.as_bytes()).is_err());
        let hollow = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        assert!(matches!(trust(hollow.as_bytes()), Err(CertificateFault::Malformed)));
        trust(format!("# a comment\n{}{}", made.certificate, made.certificate).as_bytes()).unwrap();
    }

    #[test]
    fn client_certificate_needs_its_own_key() {
        let (one, other) = (made(), made());
        let show = |certificate: &str, key: &str| {
            let mut certificates = Certificates::default();
            certificates.show(certificate.as_bytes(), key.as_bytes()).map(|()| certificates)
        };
        let shown = format!("{:?}", show(&one.certificate, &one.key).unwrap());
        assert_eq!(shown, "Certificates { authorities: 0, shows: true }");
        assert!(matches!(show(&one.certificate, &other.key), Err(CertificateFault::Foreign)));
        assert!(matches!(show(&one.certificate, ""), Err(CertificateFault::NoKey)));
        let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
        assert!(matches!(show(&one.certificate, locked), Err(CertificateFault::Locked)));
    }

    #[test]
    fn certificate_directory_is_read_as_by_docker() {
        let made = made();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let read = || {
            let mut certificates = Certificates::default();
            certificates.read_directory(path).map(|()| certificates)
        };
        assert!(read().unwrap().is_empty());
        Certificates::default().read_directory(&path.join("absent")).unwrap();
        let put = |name: &str, text: &str| std::fs::write(path.join(name), text).unwrap();
        put("ca.crt", &made.certificate);
        put("README", "no certificate");
        put("client.cert", &made.certificate);
        let error = read().unwrap_err();
        assert!(matches!(error.fault, CertificateFault::WithoutKey) && error.hint().contains("client.key"), "{error}");
        put("client.key", &made.key);
        let found = read().unwrap();
        assert!(found.authorities.len() == 1 && found.client.is_some());
        put("other.key", &made.key);
        assert!(matches!(read().unwrap_err().fault, CertificateFault::WithoutCertificate));
        std::fs::remove_file(path.join("other.key")).unwrap();
        put("der.crt", "");
        assert!(matches!(read().unwrap_err().fault, CertificateFault::Empty));
    }
    #[test]
    fn certificate_directory_skips_files_only_root_may_read() {
        use std::os::unix::fs::PermissionsExt as _;
        let made = made();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        for (name, text) in
            [("ca.crt", &made.certificate), ("client.cert", &made.certificate), ("client.key", &made.key)]
        {
            std::fs::write(path.join(name), text).unwrap();
        }
        let may_be = |name: &str, mode: u32| {
            std::fs::set_permissions(path.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
        };
        may_be("", 0o755);
        may_be("client.key", 0);
        // Root may read everything, so the test changes the user. The change applies only to this thread.
        let read = || {
            std::thread::scope(|scope| {
                let read = scope.spawn(|| {
                    if rustix::process::geteuid().is_root() {
                        let nobody = rustix::process::Uid::from_raw(65_534);
                        rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
                    }
                    let mut certificates = Certificates::default();
                    certificates.read_directory(path).map(|()| certificates)
                });
                read.join().unwrap()
            })
        };
        let found = read().unwrap();
        assert!(found.authorities.len() == 1 && found.client.is_none());
        may_be("", 0);
        let found = read();
        may_be("", 0o755);
        assert!(found.unwrap().is_empty());
    }
}
