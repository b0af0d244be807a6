//! Reads the surroundings of `RUN` steps: `extra_hosts`, `shm_size`, `ulimits`, `cgroup_parent`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU64;

use crate::plan::model::spec::{Sandbox, Ulimit};
use crate::plan::read::keys::ULIMIT;
use crate::plan::read::node::{Map, Node, Value, get};
use crate::plan::read::reader::{Late, Read, Reader};
use crate::plan::read::suggest::suggest;

/// The limits that engines know (docker/go-units, `ulimit.go`).
const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Reads these keys from the settings of a job.
pub(in crate::plan) fn read(reader: &mut Reader<'_>, settings: &Map, late: Late<'_>) -> Read<Sandbox> {
    let node = |key| get(settings, key).map(|entry| &entry.value);
    let extra_hosts = node("extra_hosts").map_or(Ok(BTreeMap::new()), |node| hosts(reader, node, late));
    let shm_size = node("shm_size").map(|node| size(reader, node, late)).transpose();
    let ulimits = node("ulimits").map_or(Ok(BTreeMap::new()), |node| ulimits(reader, node, late));
    let cgroup = node("cgroup_parent").map(|node| reader.text(node, "`cgroup_parent`", late)).transpose();
    let cgroup_parent = cgroup?.filter(|text| !text.is_empty());
    Ok(Sandbox { extra_hosts: extra_hosts?, shm_size: shm_size?, ulimits: ulimits?, cgroup_parent })
}

/// Hosts, each with one or more addresses. `forms` turned valid lists into maps. A list that is left is not valid.
fn hosts(reader: &mut Reader<'_>, node: &Node, late: Late<'_>) -> Read<BTreeMap<String, Vec<IpAddr>>> {
    if matches!(node.value, Value::List(_) | Value::Flag(_)) {
        let hint = "write each item as HOST:IP, such as \"db:10.0.0.5\"".to_owned();
        return Err(reader.problem(&node.origin, "`extra_hosts` must be a list of HOST:IP strings", Some(hint)));
    }
    let mut hosts = Ok(BTreeMap::new());
    for entry in reader.any_map(node, "`extra_hosts`")?.iter() {
        reader.go_on()?;
        let name = &*entry.key.name;
        reader.charge(name.len() + 64);
        let read = if is_host(name) {
            addresses(reader, &entry.value, name, late)
        } else {
            let hint = "use letters, digits, `.`, `-` and `_`; polyarch does not interpolate host names".to_owned();
            let message = format!("`{}` is not the name of a host", name.escape_debug());
            Err(reader.problem(&entry.key.origin, message, Some(hint)))
        };
        match (read, hosts.as_mut()) {
            (Ok(ips), Ok(hosts)) => drop(hosts.insert(name.to_owned(), ips)),
            (Err(told), _) => hosts = Err(told),
            (Ok(_), Err(_)) => {}
        }
    }
    hosts
}

/// Whether `name` is safe in BuildKit's list, which uses commas and `=` as separators.
fn is_host(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}

fn addresses(reader: &mut Reader<'_>, node: &Node, host: &str, late: Late<'_>) -> Read<Vec<IpAddr>> {
    let items = match &node.value {
        Value::List(_) | Value::Flag(_) => reader.list(node, &format!("the host `{host}`"))?,
        _ => [node.clone()].into(),
    };
    // All items are read before the first error returns, so that every error is reported.
    let ips: Vec<_> = items.iter().map(|item| address(reader, item, host, late)).collect();
    ips.into_iter().collect()
}

fn address(reader: &mut Reader<'_>, node: &Node, host: &str, late: Late<'_>) -> Read<IpAddr> {
    let text = reader.text(node, &format!("the address of `{host}`"), late)?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&text);
    bare.parse().map_err(|_| {
        let gateway = (bare == "host-gateway").then(|| "write the address of the engine's bridge instead".to_owned());
        reader.problem(&node.origin, format!("`{text}` is not an IP address for `{host}`"), gateway)
    })
}

fn size(reader: &mut Reader<'_>, node: &Node, late: Late<'_>) -> Read<NonZeroU64> {
    let text = match &node.value {
        Value::Number(text) => text.clone(),
        _ => reader.text(node, "`shm_size`", late)?,
    };
    parse_size(&text).ok_or_else(|| {
        let hint = "write a size such as 64m or 1g, or a number of bytes".to_owned();
        reader.problem(&node.origin, format!("`{text}` is not a size of at least one byte"), Some(hint))
    })
}

/// Bytes in the notation of docker: a number and `b`, `k`, `m`, `g` or `t` in powers of 1024. `b` or `ib` may follow
/// the unit (docker/go-units, `RAMInBytes`).
fn parse_size(text: &str) -> Option<NonZeroU64> {
    let text = text.to_ascii_lowercase();
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let power = match unit.trim_start() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        _ => return None,
    };
    let bytes = digits.parse::<u64>().ok()?.checked_mul(1024_u64.pow(power))?;
    // BuildKit reads the size as a signed number.
    i64::try_from(bytes).ok().and_then(|_| NonZeroU64::new(bytes))
}

fn ulimits(reader: &mut Reader<'_>, node: &Node, late: Late<'_>) -> Read<BTreeMap<&'static str, Ulimit>> {
    let mut limits = Ok(BTreeMap::new());
    for entry in reader.any_map(node, "`ulimits`")?.iter() {
        reader.go_on()?;
        let name = &*entry.key.name;
        let known = ULIMITS.into_iter().find(|known| *known == name).ok_or_else(|| {
            let hint = suggest(name, ULIMITS);
            reader.problem(&entry.key.origin, format!("there is no ulimit `{}`", name.escape_debug()), hint)
        });
        match (known, ulimit(reader, &entry.value, name, late), limits.as_mut()) {
            (Ok(name), Ok(limit), Ok(limits)) => drop(limits.insert(name, limit)),
            (Err(told), ..) | (_, Err(told), _) => limits = Err(told),
            (Ok(_), Ok(_), Err(_)) => {}
        }
    }
    limits
}

/// One number for both limits, docker's `SOFT:HARD`, or Compose's `{soft, hard}`.
fn ulimit(reader: &mut Reader<'_>, node: &Node, name: &str, late: Late<'_>) -> Read<Ulimit> {
    let subject = format!("the ulimit `{name}`");
    let (soft, hard) = if matches!(node.value, Value::Map(_)) {
        let map = reader.map(node, &subject, &ULIMIT)?;
        let (Some(soft), Some(hard)) = (get(&map, "soft"), get(&map, "hard")) else {
            return Err(reader.problem(&node.origin, format!("{subject} needs `soft` and `hard`"), None));
        };
        (number(reader, &soft.value, "`soft`", late)?, number(reader, &hard.value, "`hard`", late)?)
    } else {
        let text = number(reader, node, &subject, late)?;
        let (soft, hard) = text.split_once(':').unwrap_or((&text, &text));
        (soft.to_owned(), hard.to_owned())
    };
    let limit = |text: &str| text.parse::<i64>().ok().filter(|limit| *limit >= -1);
    match (limit(&soft), limit(&hard)) {
        (Some(soft), Some(hard)) if hard == -1 || (soft != -1 && soft <= hard) => Ok(Ulimit { soft, hard }),
        (Some(soft), Some(hard)) => {
            let message = format!("{subject} has a soft limit of {soft} above its hard limit of {hard}");
            Err(reader.problem(
                &node.origin,
                message,
                Some("raise the hard limit, or write -1 for unlimited".to_owned()),
            ))
        }
        _ => {
            let hint = "write 1024, or { soft: 1024, hard: 2048 }; -1 is unlimited".to_owned();
            Err(reader.problem(&node.origin, format!("{subject} must be one number or two numbers"), Some(hint)))
        }
    }
}

/// A written number, or a string with a number.
fn number(reader: &mut Reader<'_>, node: &Node, subject: &str, late: Late<'_>) -> Read<String> {
    match &node.value {
        Value::Number(text) => Ok(text.clone()),
        _ => reader.text(node, subject, late),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shm_sizes_are_read_as_by_docker() {
        for (text, bytes) in [
            ("1", 1),
            ("67108864", 64 << 20),
            ("64m", 64 << 20),
            ("64MB", 64 << 20),
            ("1 GiB", 1 << 30),
            ("2b", 2),
            ("3k", 3072),
            ("1t", 1 << 40),
        ] {
            assert_eq!(parse_size(text).map(NonZeroU64::get), Some(bytes), "{text}");
        }
        for bad in ["", "0", "0m", "m", "-1", "1.5g", "64x", "64mm", "1e3", "9223372036854775808", "99999999t", "٣"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }
}
