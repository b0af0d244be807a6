//! Reads the header of an ELF file, which names the processor of a program (System V ABI, "ELF Header").

use std::fmt;

use super::normal_form::Platform;

/// The processor of a program: `EI_CLASS`, `EI_DATA` and `e_machine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ElfMachine {
    class: u8,
    data: u8,
    machine: u16,
}

/// `e_machine`, `EI_CLASS` (0: any) and `EI_DATA`, Go's name of the architecture, and polyarch's name with an article.
const MACHINES: &[(u16, u8, u8, &str, &str)] = &[
    (62, 0, 1, "amd64", "an x86-64"),
    (3, 1, 1, "386", "an i386"),
    (183, 2, 1, "arm64", "an arm64"),
    (40, 1, 1, "arm", "a 32-bit arm"),
    (243, 2, 1, "riscv64", "a riscv64"),
    (21, 2, 1, "ppc64le", "a ppc64le"),
    (21, 2, 2, "ppc64", "a ppc64"),
    (22, 2, 2, "s390x", "an s390x"),
    (8, 2, 1, "mips64le", "a mips64le"),
    (8, 2, 2, "mips64", "a mips64"),
    (8, 1, 1, "mipsle", "a mipsle"),
    (8, 1, 2, "mips", "a mips"),
    (258, 2, 1, "loong64", "a loong64"),
];

impl ElfMachine {
    /// Reads the first bytes of a file. `None`: they are not an ELF header.
    #[must_use]
    pub fn read(head: &[u8]) -> Option<Self> {
        let head: &[u8; 20] = head.first_chunk()?;
        if head[..4] != *b"\x7fELF" {
            return None;
        }
        let (class, data, machine) = (head[4], head[5], [head[18], head[19]]);
        let machine = match data {
            1 => u16::from_le_bytes(machine),
            2 => u16::from_be_bytes(machine),
            _ => return None,
        };
        Some(Self { class, data, machine })
    }

    /// Whether polyarch knows the programs of `platform`.
    #[must_use]
    pub fn knows(platform: &Platform) -> bool {
        MACHINES.iter().any(|(.., architecture, _)| *architecture == platform.architecture())
    }

    /// Whether images of `platform` contain such programs. `None`: polyarch does not know the platform.
    ///
    /// A program for 386 also counts for amd64, because every such processor and kernel runs it. The header does not
    /// distinguish variants of an architecture.
    #[must_use]
    pub fn is_of(self, platform: &Platform) -> Option<bool> {
        if !Self::knows(platform) {
            return None;
        }
        let planned = platform.architecture();
        let own = self.row().map(|(.., architecture, _)| *architecture);
        Some(own == Some(planned) || (own == Some("386") && planned == "amd64"))
    }

    fn row(self) -> Option<&'static (u16, u8, u8, &'static str, &'static str)> {
        MACHINES.iter().find(|(machine, class, data, ..)| {
            *machine == self.machine && [0, self.class].contains(class) && *data == self.data
        })
    }
}

/// The name with an article: `an x86-64`.
impl fmt::Display for ElfMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.row() {
            Some((.., name)) => f.write_str(name),
            None => write!(f, "an unknown (ELF machine {}, class {})", self.machine, self.class),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The header of a program for an architecture.
    pub(crate) fn head(architecture: &str) -> Vec<u8> {
        let (machine, class, data, ..) = MACHINES.iter().find(|row| row.3 == architecture).unwrap();
        let mut head = vec![0; 64];
        head[..4].copy_from_slice(b"\x7fELF");
        head[4] = (*class).max(1);
        head[5] = *data;
        head[18..20].copy_from_slice(&if *data == 2 { machine.to_be_bytes() } else { machine.to_le_bytes() });
        head
    }

    #[test]
    fn elf_header_decides_the_platform_of_a_program() {
        for (.., planned, _) in MACHINES {
            let platform: Platform = format!("linux/{planned}").parse().unwrap();
            for (.., program, _) in MACHINES {
                let machine = ElfMachine::read(&head(program)).unwrap();
                let fits = program == planned || (*program == "386" && *planned == "amd64");
                assert_eq!(machine.is_of(&platform), Some(fits), "{program} in linux/{planned}");
            }
        }
        let x86 = ElfMachine::read(&head("amd64")).unwrap();
        assert_eq!(x86.to_string(), "an x86-64");
        assert_eq!(x86.is_of(&"wasi/wasm".parse().unwrap()), None);
        let mut bpf = head("amd64");
        bpf[18] = 247;
        let bpf = ElfMachine::read(&bpf).unwrap();
        assert_eq!(bpf.is_of(&"linux/amd64".parse().unwrap()), Some(false));
        assert_eq!(bpf.to_string(), "an unknown (ELF machine 247, class 1)");
    }

    #[test]
    fn file_without_an_elf_header_has_no_processor() {
        for bad in [&b""[..], b"#!/bin/sh\necho hello, world\n", b"\x7fELF", &[0; 64], &head("amd64")[..19]] {
            assert_eq!(ElfMachine::read(bad), None);
        }
        let mut odd = head("arm64");
        odd[5] = 3;
        assert_eq!(ElfMachine::read(&odd), None);
    }
}
