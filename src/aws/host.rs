//! The hosts of Amazon ECR, in all of Amazon's partitions (Amazon ECR, "Private registries", "Amazon ECR endpoints").

use std::fmt;
use std::str::FromStr;

use crate::oci::{ReferenceError, RegistryHost};

/// The number of digits of an account.
const ACCOUNT_DIGITS: usize = 12;
/// The public gallery, and its newer name for IPv4 and IPv6.
const PUBLIC: [&str; 2] = ["public.ecr.aws", "ecr-public.aws.com"];
/// For each partition of Amazon: the beginning of its regions, and the text behind the region. The first match counts.
const PARTITIONS: [(&str, &str); 7] = [
    ("cn-", "amazonaws.com.cn"),
    ("us-iso-", "c2s.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("us-isof-", "csp.hci.ic.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
    ("eusc-", "amazonaws.eu"),
    ("", "amazonaws.com"),
];
/// The text behind the region for IPv4 and IPv6.
const DUAL_STACK: [&str; 2] = ["on.aws", "on.amazonwebservices.com.cn"];

/// An AWS account: twelve digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AwsAccount(Box<str>);

/// The code of an AWS region, such as `eu-central-1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AwsRegion(Box<str>);

/// Why a string is not an AWS account or region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EcrNameError {
    /// The text does not have twelve digits.
    #[error("an AWS account has {ACCOUNT_DIGITS} digits")]
    Account,
    /// The text is not the code of a region.
    #[error("an AWS region has lower-case letters, digits and `-`, such as eu-central-1")]
    Region,
}

/// A registry of Amazon ECR, read from its host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EcrHost {
    /// The registry of an account in a region.
    Private(PrivateEcr),
    /// The public gallery. There is only one.
    Public,
}

/// The registry of an account in a region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrivateEcr {
    /// The account.
    pub account: AwsAccount,
    /// The region.
    pub region: AwsRegion,
    /// The endpoint in the host.
    pub endpoint: EcrEndpoint,
}

/// The endpoints of a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EcrEndpoint {
    /// `ACCOUNT.dkr.ecr.REGION.amazonaws.com`
    Standard,
    /// The endpoint with FIPS 140 validated cryptography: `ACCOUNT.dkr.ecr-fips.…`
    Fips,
    /// The endpoint for IPv4 and IPv6: `ACCOUNT.dkr-ecr.REGION.on.aws`
    DualStack,
    /// Both properties.
    FipsDualStack,
}

impl EcrEndpoint {
    /// Whether the endpoint uses FIPS 140.
    #[must_use]
    pub fn is_fips(self) -> bool {
        matches!(self, Self::Fips | Self::FipsDualStack)
    }

    /// Whether the endpoint supports IPv4 and IPv6.
    #[must_use]
    pub fn is_dual_stack(self) -> bool {
        matches!(self, Self::DualStack | Self::FipsDualStack)
    }
}

impl EcrHost {
    /// The registry of Amazon ECR at `host`. `None`: the host is not one of ECR.
    #[must_use]
    pub fn of(host: &RegistryHost) -> Option<Self> {
        let name = host.name().to_ascii_lowercase();
        if PUBLIC.contains(&name.as_str()) {
            return Some(Self::Public);
        }
        let (account, rest) = name.split_once('.')?;
        // `dkr.ecr` and `dkr-ecr`, each also with `-fips`.
        let rest = rest.strip_prefix("dkr.ecr").or_else(|| rest.strip_prefix("dkr-ecr"))?;
        let (is_fips, rest) = rest.strip_prefix("-fips").map_or((false, rest), |rest| (true, rest));
        let (region, suffix) = rest.strip_prefix('.')?.split_once('.')?;
        let is_dual_stack = DUAL_STACK.contains(&suffix);
        if !is_dual_stack && PARTITIONS.iter().all(|(_, known)| *known != suffix) {
            return None;
        }
        let endpoint = match (is_fips, is_dual_stack) {
            (false, false) => EcrEndpoint::Standard,
            (true, false) => EcrEndpoint::Fips,
            (false, true) => EcrEndpoint::DualStack,
            (true, true) => EcrEndpoint::FipsDualStack,
        };
        Some(Self::Private(PrivateEcr { account: account.parse().ok()?, region: region.parse().ok()?, endpoint }))
    }
}

impl PrivateEcr {
    /// The registry of `account` in `region`, at its standard endpoint.
    #[must_use]
    pub fn new(account: AwsAccount, region: AwsRegion) -> Self {
        Self { account, region, endpoint: EcrEndpoint::Standard }
    }

    /// The host of the standard endpoint, independent of [`Self::endpoint`].
    ///
    /// # Errors
    /// Never for existing regions, because their names are short enough for a host.
    pub fn host(&self) -> Result<RegistryHost, ReferenceError> {
        let fits = |(prefix, suffix): &(&str, &'static str)| self.region.0.starts_with(prefix).then_some(*suffix);
        let suffix = PARTITIONS.iter().find_map(fits).unwrap_or_default();
        format!("{}.dkr.ecr.{}.{suffix}", self.account, self.region).parse()
    }
}

/// Whether `host` is a registry of Amazon ECR, private or public.
#[must_use]
pub fn is_ecr(host: &RegistryHost) -> bool {
    EcrHost::of(host).is_some()
}

impl AwsAccount {
    /// The twelve digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AwsAccount {
    type Err = EcrNameError;

    fn from_str(text: &str) -> Result<Self, EcrNameError> {
        let is_account = text.len() == ACCOUNT_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_account { Ok(Self(text.into())) } else { Err(EcrNameError::Account) }
    }
}

impl AwsRegion {
    /// The region that issues the logins of the public gallery.
    pub const OF_PUBLIC_LOGINS: &'static str = "us-east-1";
    /// The longest code in bytes, the limit of a host label.
    const LONGEST: usize = 63;

    /// The code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AwsRegion {
    type Err = EcrNameError;

    fn from_str(text: &str) -> Result<Self, EcrNameError> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_region = text.bytes().all(allowed)
            && (1..=Self::LONGEST).contains(&text.len())
            && !text.starts_with('-')
            && !text.ends_with('-');
        if is_region { Ok(Self(text.into())) } else { Err(EcrNameError::Region) }
    }
}

impl fmt::Display for AwsAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for AwsRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANDARD: &str = "123456789012.dkr.ecr.eu-central-1.amazonaws.com";

    fn ecr(host: &str) -> Option<EcrHost> {
        EcrHost::of(&host.parse().unwrap())
    }

    #[test]
    fn ecr_hosts_of_every_partition_are_recognised() {
        use EcrEndpoint::{DualStack, Fips, FipsDualStack, Standard};
        for (host, region, endpoint) in [
            (STANDARD, "eu-central-1", Standard),
            ("123456789012.dkr.ecr.eu-central-1.amazonaws.com:443", "eu-central-1", Standard),
            ("123456789012.dkr.ecr-fips.us-east-1.amazonaws.com", "us-east-1", Fips),
            ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1", Fips),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1", Standard),
            ("123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1", Standard),
            ("123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov", "us-iso-east-1", Standard),
            ("123456789012.dkr.ecr.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1", Standard),
            ("123456789012.dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1", Standard),
            ("123456789012.dkr.ecr.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1", Standard),
            ("123456789012.dkr-ecr.eu-west-1.on.aws", "eu-west-1", DualStack),
            ("123456789012.dkr-ecr-fips.us-east-2.on.aws", "us-east-2", FipsDualStack),
            ("123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn", "cn-north-1", DualStack),
        ] {
            let Some(EcrHost::Private(found)) = ecr(host) else { panic!("{host}") };
            assert_eq!((found.account.as_str(), found.region.as_str()), ("123456789012", region), "{host}");
            assert_eq!(found.endpoint, endpoint, "{host}");
        }
        for host in ["public.ecr.aws", "ecr-public.aws.com", "Public.ECR.aws"] {
            assert_eq!(ecr(host), Some(EcrHost::Public), "{host}");
        }
        assert_eq!(ecr(&STANDARD.to_ascii_uppercase()), ecr(STANDARD));
    }

    #[test]
    fn other_hosts_are_not_taken_for_ecr() {
        for host in [
            "12345678901.dkr.ecr.eu-central-1.amazonaws.com",
            "1234567890123.dkr.ecr.eu-central-1.amazonaws.com",
            "12345678901a.dkr.ecr.eu-central-1.amazonaws.com",
            "123456789012.dkr.ecr.eu-central-1.amazonaws.com.evil.example",
            "evil.123456789012.dkr.ecr.eu-central-1.amazonaws.com",
            "123456789012.dkr.ecr.eu-central-1.evil.amazonaws.com",
            "123456789012.dkr.ecr.amazonaws.com",
            "123456789012.dkr.ecrx.eu-central-1.amazonaws.com",
            "public.ecr.aws.evil.example",
            "ecr.aws",
            "ghcr.io",
        ] {
            assert_eq!(ecr(host), None, "{host}");
        }
    }

    #[test]
    fn ecr_host_of_an_account_follows_its_partition() {
        for (region, host) in [
            ("eu-central-1", "123456789012.dkr.ecr.eu-central-1.amazonaws.com"),
            ("us-gov-west-1", "123456789012.dkr.ecr.us-gov-west-1.amazonaws.com"),
            ("cn-north-1", "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn"),
            ("us-iso-east-1", "123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov"),
            ("us-isob-east-1", "123456789012.dkr.ecr.us-isob-east-1.sc2s.sgov.gov"),
            ("eusc-de-east-1", "123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu"),
        ] {
            let named = PrivateEcr::new("123456789012".parse().unwrap(), region.parse().unwrap());
            assert_eq!(named.host().unwrap().as_str(), host);
            assert_eq!(EcrHost::of(&named.host().unwrap()), Some(EcrHost::Private(named)), "{host}");
        }
    }

    #[test]
    fn invalid_aws_regions_and_accounts_are_refused() {
        assert!("EU-central-1".parse::<AwsRegion>().is_err());
        assert!("".parse::<AwsRegion>().is_err());
        assert!("eu-central-1-".parse::<AwsRegion>().is_err());
        assert!("eu.central".parse::<AwsRegion>().is_err());
        assert!("123".parse::<AwsAccount>().is_err());
    }
}
