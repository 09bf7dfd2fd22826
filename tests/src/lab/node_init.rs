//! The first process of a node that runs pods: `ferrolb-lab node-init`, in namespaces of its own.
//!
//! It gives the node its own view of the few paths that kubelet, containerd and CNI plugins cannot be
//! told to leave alone, starts them, and collects processes that lost their parent.

use std::fs::{self, File};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sys::wait::{WaitStatus, wait};
use nix::unistd::Pid;

use super::eventually::eventually;
use super::pod_node::RELEASED;

/// How long the lab may take to start its control plane.
const CONTROL_PLANE: Duration = Duration::from_secs(180);

/// How the init is called.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The node's name.
    #[arg(long)]
    name: String,
    /// The node's addresses on the LAN.
    #[arg(long, value_delimiter = ',')]
    addresses: Vec<IpAddr>,
    /// The directory of the node's files.
    #[arg(long)]
    directory: PathBuf,
    /// Where logs go.
    #[arg(long)]
    logs: PathBuf,
    /// The multi-call Kubernetes.
    #[arg(long)]
    kc: PathBuf,
    /// The directory of containerd's programs.
    #[arg(long)]
    containerd: PathBuf,
    /// The kubelet's kubeconfig.
    #[arg(long)]
    kubeconfig: PathBuf,
    /// kube-proxy's configuration.
    #[arg(long)]
    kube_proxy: PathBuf,
    /// Archives of the images that the node should have.
    #[arg(long = "image")]
    images: Vec<PathBuf>,
}

/// Is the init, until the power is cut or one of its programs ends.
pub async fn main(args: Args) -> Result<()> {
    fs::write("/proc/sys/kernel/hostname", &args.name).context("cannot set the host name")?;
    args.mount()?;
    let containerd = args.start_containerd().await?;
    args.import_images()?;
    let released = args.directory.join(RELEASED);
    eventually(CONTROL_PLANE, "the control plane is there", async || {
        fs::metadata(&released).context("it is not")?;
        Ok(())
    })
    .await?;
    let kube_proxy = args.start(
        "kube-proxy",
        Command::new(&args.kc)
            .arg("kube-proxy")
            .arg(flag("--config", &args.kube_proxy)),
    )?;
    let kubelet = args.start_kubelet()?;
    tokio::task::spawn_blocking(move || {
        collect(&[
            ("containerd", containerd),
            ("kube-proxy", kube_proxy),
            ("kubelet", kubelet),
        ])
    })
    .await?
}

// === impl Args ===

impl Args {
    fn mount(&self) -> Result<()> {
        // Pods get their volumes by propagation; nothing reaches the machine, whose own mounts were
        // made private when this namespace was.
        share(Path::new("/"))?;
        for path in ["var/lib/cni", "var/log", "run", "etc/cni"] {
            let own = self.directory.join(path);
            let seen = Path::new("/").join(path);
            for directory in [&own, &seen] {
                fs::create_dir_all(directory)
                    .with_context(|| format!("cannot make {}", directory.display()))?;
            }
            mount(Some(&own), &seen, None::<&str>, MsFlags::MS_BIND, None::<&str>)
                .with_context(|| format!("cannot bind {}", seen.display()))?;
        }
        for path in ["/var/lib/kubelet", "/var/lib/containerd"] {
            fs::create_dir_all(path).with_context(|| format!("cannot make {path}"))?;
            mount(
                Some("lab"),
                path,
                Some("tmpfs"),
                MsFlags::empty(),
                Some("mode=755"),
            )
            .with_context(|| format!("cannot mount {path}"))?;
        }
        share(Path::new("/run"))?;
        fs::create_dir_all("/run/lock")?;
        fs::create_dir_all("/etc/cni/net.d")?;
        fs::copy(
            self.directory.join("cni.conflist"),
            "/etc/cni/net.d/10-lab.conflist",
        )?;
        Ok(())
    }

    async fn start_containerd(&self) -> Result<Child> {
        let mut containerd = Command::new(self.containerd.join("containerd"));
        containerd
            .arg("--config")
            .arg(self.directory.join("containerd.toml"));
        let child = self.start("containerd", &mut containerd)?;
        let socket = "/run/containerd/containerd.sock";
        eventually(Duration::from_secs(60), "containerd listens", async || {
            UnixStream::connect(socket).with_context(|| format!("cannot connect to {socket}"))?;
            Ok(())
        })
        .await?;
        Ok(child)
    }

    fn import_images(&self) -> Result<()> {
        for image in &self.images {
            let mut ctr = Command::new(self.containerd.join("ctr"));
            ctr.args(["--namespace", "k8s.io", "images", "import"]).arg(image);
            let status = self.start("images", &mut ctr)?.wait()?;
            if !status.success() {
                bail!("importing {} ended with {status}", image.display());
            }
        }
        Ok(())
    }

    fn start_kubelet(&self) -> Result<Child> {
        let addresses: Vec<String> = self.addresses.iter().map(IpAddr::to_string).collect();
        self.start(
            "kubelet",
            Command::new(&self.kc)
                .arg("kubelet")
                .arg(flag("--config", &self.directory.join("kubelet.yaml")))
                .arg(flag("--kubeconfig", &self.kubeconfig))
                .arg(format!("--hostname-override={}", self.name))
                .arg(format!("--node-ip={}", addresses.join(",")))
                .arg("--v=2"),
        )
    }

    /// Starts one of the node's programs; what it prints is added to its log.
    fn start(&self, name: &str, command: &mut Command) -> Result<Child> {
        let path = self.logs.join(format!("{name}-{}.log", self.name));
        let log = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        let mut search = std::ffi::OsString::from(&self.containerd);
        search.push(":");
        search.push(std::env::var_os("PATH").unwrap_or_default());
        command
            // containerd looks for its shims there, kubelet and kube-proxy for nft and mount.
            .env("PATH", search)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {name}"))
    }
}

/// Waits for every process that ends; returns when one of the node's programs does.
fn collect(programs: &[(&str, Child)]) -> Result<()> {
    loop {
        let status = wait().context("cannot wait for the node's processes")?;
        let (WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..)) = status else {
            continue;
        };
        let ended = programs
            .iter()
            .find(|(_, child)| i32::try_from(child.id()).is_ok_and(|id| Pid::from_raw(id) == pid));
        if let Some((name, _)) = ended {
            bail!("{name} has ended ({status:?}), and the node with it");
        }
    }
}

/// Has mounts that appear below a path appear in the pods' view of it.
fn share(path: &Path) -> Result<()> {
    let flags = MsFlags::MS_SHARED | MsFlags::MS_REC;
    mount(None::<&str>, path, None::<&str>, flags, None::<&str>)
        .with_context(|| format!("cannot share {}", path.display()))
}

fn flag(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}
