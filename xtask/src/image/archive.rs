//! The archive of an image of one file, in the format of `docker save`.
//!
//! Equal binaries give equal archives, byte for byte: no clock, no user and no host name gets in.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};

/// What an image holds and says.
pub(crate) struct Image<'a> {
    /// The reference that it is loaded under.
    pub(crate) reference: String,
    /// The one file in it.
    pub(crate) binary: &'a Path,
    /// The file's name in the image's root, and its entrypoint.
    pub(crate) name: &'a str,
    /// Whom it starts as, in numbers: there is no `/etc/passwd` to look a name up in.
    pub(crate) user: &'a str,
}

/// Writes the archive, unless it is there already; returns whether it had to.
pub(crate) fn write(image: &Image<'_>, path: &Path) -> Result<bool> {
    let bytes = build(image)?;
    if fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(false);
    }
    // Written beside and renamed, so that nobody loads half an archive.
    let draft = path.with_extension("tar.new");
    fs::write(&draft, bytes).with_context(|| format!("cannot write {}", draft.display()))?;
    fs::rename(&draft, path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(true)
}

/// The archive's bytes.
fn build(image: &Image<'_>) -> Result<Vec<u8>> {
    let binary = fs::read(image.binary).with_context(|| format!("cannot read {}", image.binary.display()))?;
    let mut layer = tar::Builder::new(Vec::new());
    append(&mut layer, image.name, 0o755, &binary)?;
    let layer = layer.into_inner().context("cannot write the layer")?;

    let config = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {
            "Entrypoint": [format!("/{}", image.name)],
            "User": image.user,
            "Labels": {
                "org.opencontainers.image.title": image.name,
                "org.opencontainers.image.licenses": "Apache-2.0",
            },
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", digest(&layer))] },
    });
    let config = serde_json::to_vec(&config)?;
    let config_name = format!("{}.json", digest(&config));
    let manifest = json!([{ "Config": config_name, "RepoTags": [image.reference], "Layers": ["layer.tar"] }]);

    let mut archive = tar::Builder::new(Vec::new());
    append(&mut archive, &config_name, 0o644, &config)?;
    append(&mut archive, "layer.tar", 0o644, &layer)?;
    append(
        &mut archive,
        "manifest.json",
        0o644,
        &serde_json::to_vec(&manifest)?,
    )?;
    archive.into_inner().context("cannot write the archive")
}

fn append(archive: &mut tar::Builder<Vec<u8>>, name: &str, mode: u32, bytes: &[u8]) -> Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_mode(mode);
    header.set_size(bytes.len() as u64);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    archive
        .append_data(&mut header, name, bytes)
        .with_context(|| format!("cannot add {name} to the archive"))
}

/// The architecture's name as images have it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn equal_binaries_give_equal_archives_that_name_their_layer() {
        let directory = std::env::temp_dir().join(format!("ferrolb-archive-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        let binary = directory.join("program");
        fs::write(&binary, b"\x7fELF").expect("a file");
        let reference = "example.org/program:1".to_owned();
        let image = Image {
            reference,
            binary: &binary,
            name: "program",
            user: "65534:65534",
        };
        let (first, second) = (directory.join("1.tar"), directory.join("2.tar"));
        assert!(write(&image, &first).expect("an archive"));
        assert!(write(&image, &second).expect("an archive"));
        assert!(
            !write(&image, &second).expect("an archive"),
            "it was there already"
        );
        let bytes = fs::read(&first).expect("the archive");
        let same = bytes == fs::read(&second).expect("the archive");
        fs::remove_dir_all(&directory).expect("removed");
        assert!(same, "two builds of one binary differ");

        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut files = std::collections::BTreeMap::new();
        for entry in archive.entries().expect("an archive") {
            let mut entry = entry.expect("an entry");
            let name = entry.path().expect("a name").display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("its bytes");
            files.insert(name, content);
        }
        let manifest: serde_json::Value = serde_json::from_slice(&files["manifest.json"]).expect("JSON");
        assert_eq!(manifest[0]["RepoTags"][0], "example.org/program:1");
        let config = manifest[0]["Config"].as_str().expect("a name");
        assert_eq!(config, format!("{}.json", digest(&files[config])));
        let config: serde_json::Value = serde_json::from_slice(&files[config]).expect("JSON");
        assert_eq!(
            config["rootfs"]["diff_ids"][0],
            format!("sha256:{}", digest(&files["layer.tar"]))
        );
        assert_eq!(config["config"]["User"], "65534:65534");
        assert_eq!(config["config"]["Entrypoint"][0], "/program");
    }
}
