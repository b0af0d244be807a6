# polyarch for Nix: `nix run`, `nix build` and `nix develop` in a clone. It needs a nixpkgs with Rust 1.95 or later.
{
  description = "Build multi-architecture container images from one YAML plan";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }:
    let
      systems = [ "x86_64-linux" "aarch64-linux" "x86_64-darwin" "aarch64-darwin" ];
      forEach = make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
      manifest = (nixpkgs.lib.importTOML ./Cargo.toml).package;
    in
    {
      packages = forEach (pkgs: rec {
        default = polyarch;
        polyarch = pkgs.rustPlatform.buildRustPackage {
          pname = manifest.name;
          version = manifest.version;
          src = self;
          cargoLock.lockFile = ./Cargo.lock;
          nativeBuildInputs = [ pkgs.installShellFiles ];
          # The tests need registries and Docker Engines, which the sandbox of Nix does not have.
          doCheck = false;
          postInstall = ''
            $out/bin/polyarch man pages
            installManPage pages/*.1
            installShellCompletion --cmd polyarch \
              --bash <($out/bin/polyarch completions bash) \
              --fish <($out/bin/polyarch completions fish) \
              --zsh <($out/bin/polyarch completions zsh)
          '';
          meta = {
            description = manifest.description;
            license = pkgs.lib.licenses.asl20;
            mainProgram = "polyarch";
          };
        };
      });

      devShells = forEach (pkgs: {
        default = pkgs.mkShell { packages = [ pkgs.cargo pkgs.rustc pkgs.clippy pkgs.rustfmt ]; };
      });
    };
}
