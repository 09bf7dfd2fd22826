//! A node that runs pods: upstream's kubelet with Debian's containerd, runc and CNI plugins.
//!
//! Its programs live in mount, UTS and process namespaces of their own below one process, the node's
//! init, which is this same program. Killing that one cuts the power: the kernel ends all that it had
//! started, pods included. This file is the outside: files, cgroups, how the init is started.
//! `node_init.rs` is the inside.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::artifacts::{Artifacts, lab_program};
use super::home::Home;
use super::kube_proxy::{self, ProxyMode};
use super::netns::{self, Netns};
use super::network::NodeAddresses;
use super::process::Launch;
use super::teardown;

/// The controllers of cgroup version 2 that containers are limited by.
const CONTROLLERS: &str = "+cpu +cpuset +memory +pids";

/// The files of one node.
#[derive(Clone, Debug)]
pub(crate) struct PodNode {
    home: Home,
    node: NodeAddresses,
}

// === impl PodNode ===

impl PodNode {
    pub(crate) fn new(home: &Home, node: NodeAddresses) -> Self {
        Self {
            home: home.clone(),
            node,
        }
    }

    /// Writes its configuration, makes its cgroups, and describes its init.
    pub(crate) fn prepare(&self, artifacts: &Artifacts, netns: &Netns, proxy: ProxyMode) -> Result<Launch> {
        fs::create_dir_all(self.directory())
            .with_context(|| format!("cannot make {}", self.directory().display()))?;
        self.make_cgroups()?;
        for (name, text) in [
            ("containerd.toml", containerd_config()),
            ("kubelet.yaml", self.kubelet_config()),
            ("resolv.conf", String::new()),
            ("cni.conflist", self.cni_config()),
        ] {
            let path = self.directory().join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let kube_proxy = kube_proxy::configure(&self.home, self.node, proxy)?;
        let lan = self.node.lan();
        let path = |flag: &str, path: &Path| format!("--{flag}={}", path.display());
        let mut launch = Launch::new(format!("node-{}", self.node.name()), netns, "unshare")
            .args(["--mount", "--uts", "--pid", "--fork", "--kill-child"])
            .args(["--mount-proc", "--propagation=private"])
            .args([lab_program()?.into_os_string(), "node-init".into()])
            .args([
                format!("--name={}", self.node.name()),
                format!("--addresses={},{}", lan.ipv4(), lan.ipv6()),
                path("directory", &self.directory()),
                path("logs", self.home.logs()),
                path("kc", &artifacts.kc()),
                path("containerd", &artifacts.containerd()),
                path(
                    "kubeconfig",
                    &self.home.pki(&format!("node-{}.kubeconfig", self.node.name())),
                ),
                path("kube-proxy", &kube_proxy),
            ]);
        for image in artifacts.images()? {
            launch = launch.args([path("image", &image)]);
        }
        Ok(launch)
    }

    /// Tells the node's init that the API server is there and knows the node.
    pub(crate) fn release(&self) -> Result<()> {
        let path = self.directory().join(RELEASED);
        fs::write(&path, "").with_context(|| format!("cannot write {}", path.display()))
    }

    /// Removes what a node without power leaves behind.
    pub(crate) async fn clean(&self) -> Result<()> {
        for cgroup in self.cgroups() {
            teardown::remove_cgroup(&cgroup).await?;
        }
        fs::remove_dir_all(self.directory())
            .with_context(|| format!("cannot remove {}", self.directory().display()))
    }

    /// Imports an image archive into the running node.
    pub(crate) fn load_image(&self, artifacts: &Artifacts, archive: &Path) -> Result<()> {
        netns::run(
            Command::new(artifacts.containerd().join("ctr"))
                .arg("--address")
                .arg(self.directory().join("run/containerd/containerd.sock"))
                .args(["--namespace", "k8s.io", "images", "import"])
                .arg(archive),
        )
    }

    /// Where the kubelet keeps the logs of pods, while there are such pods.
    pub(crate) fn pod_logs(&self) -> PathBuf {
        self.directory().join("var/log/pods")
    }

    fn directory(&self) -> PathBuf {
        self.home.path("node").join(self.node.name())
    }

    /// Its cgroup's path in each hierarchy: one of version 2, or several of version 1.
    fn cgroups(&self) -> Vec<PathBuf> {
        let lab = Path::new(&self.home.id().cgroup()).join(self.node.name());
        cgroup_roots().into_iter().map(|root| root.join(&lab)).collect()
    }

    fn make_cgroups(&self) -> Result<()> {
        for (root, cgroup) in cgroup_roots().into_iter().zip(self.cgroups()) {
            fs::create_dir_all(&cgroup).with_context(|| format!("cannot make {}", cgroup.display()))?;
            let parents: Vec<&Path> = cgroup.ancestors().take_while(|path| *path != root).collect();
            for path in parents.into_iter().rev() {
                let above = path.parent().unwrap_or(&root);
                // Version 1: a new cpuset is empty and takes no process.
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    if root.ends_with("cpuset") {
                        fs::copy(above.join(file), path.join(file))
                            .with_context(|| format!("cannot set {file} of {}", path.display()))?;
                    }
                }
                // Version 2: controllers are handed down level by level.
                if is_version_2(&root) {
                    for directory in [above, path] {
                        fs::write(directory.join("cgroup.subtree_control"), CONTROLLERS).with_context(
                            || format!("cannot hand controllers down in {}", directory.display()),
                        )?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The pods' cgroups are below the node's, so that they go with it: without `cgroupsPerQOS` they
    /// would be where containerd puts those of nobody in particular.
    fn kubelet_config(&self) -> String {
        let name = self.node.name();
        format!(
            "\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /{cgroup}/{name}
failCgroupV1: false
cgroupsPerQOS: true
enforceNodeAllocatable: []
failSwapOn: false
address: 0.0.0.0
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: {ca}}}}}
authorization: {{mode: Webhook}}
tlsCertFile: {crt}
tlsPrivateKeyFile: {key}
resolvConf: {resolv}
makeIPTablesUtilChains: false
imageGCHighThresholdPercent: 100
evictionHard: {{memory.available: 10Mi, nodefs.available: \"0%\", imagefs.available: \"0%\", \
             nodefs.inodesFree: \"0%\", imagefs.inodesFree: \"0%\"}}
nodeStatusUpdateFrequency: 2s
nodeLeaseDurationSeconds: 4
nodeStatusReportFrequency: 1m
syncFrequency: 10s
maxPods: 50
oomScoreAdj: 0
maxOpenFiles: 20000
",
            cgroup = self.home.id().cgroup(),
            ca = self.home.pki("ca.crt").display(),
            crt = self.home.pki(&format!("kubelet-{name}.crt")).display(),
            key = self.home.pki(&format!("kubelet-{name}.key")).display(),
            resolv = self.directory().join("resolv.conf").display(),
        )
    }

    fn cni_config(&self) -> String {
        let (ipv4, ipv6) = (self.node.pod_network_v4(), self.node.pod_network_v6());
        serde_json::json!({
            "cniVersion": "1.0.0",
            "name": "lab",
            "plugins": [
                { "type": "ptp", "ipMasq": false, "mtu": 1500, "ipam": {
                    "type": "host-local",
                    "ranges": [[{ "subnet": ipv4 }], [{ "subnet": ipv6 }]],
                    "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }],
                }},
                { "type": "portmap", "capabilities": { "portMappings": true } },
            ],
        })
        .to_string()
    }
}

/// The file whose presence lets the kubelet start.
pub(crate) const RELEASED: &str = "released";

/// Where cgroups are made: the one hierarchy of version 2, else each hierarchy of version 1.
fn cgroup_roots() -> Vec<PathBuf> {
    let top = Path::new("/sys/fs/cgroup");
    if is_version_2(top) {
        return vec![top.to_path_buf()];
    }
    let names = [
        "cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd",
    ];
    let roots = names.map(|name| top.join(name));
    roots.into_iter().filter(|root| root.is_dir()).collect()
}

fn is_version_2(root: &Path) -> bool {
    root.join("cgroup.controllers").exists()
}

/// Accepted by containerd 1.6 and 2.
fn containerd_config() -> String {
    "\
version = 2
disabled_plugins = [\"io.containerd.snapshotter.v1.btrfs\", \"io.containerd.snapshotter.v1.zfs\", \
     \"io.containerd.snapshotter.v1.devmapper\", \"io.containerd.snapshotter.v1.aufs\"]
[grpc]
  address = \"/run/containerd/containerd.sock\"
[plugins.\"io.containerd.grpc.v1.cri\"]
  sandbox_image = \"ferrolb.test/pause:1\"
  # Lowering a score needs a capability that a container or a small machine's root may lack.
  restrict_oom_score_adj = true
  [plugins.\"io.containerd.grpc.v1.cri\".containerd]
    snapshotter = \"overlayfs\"
    [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]
      runtime_type = \"io.containerd.runc.v2\"
      [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins.\"io.containerd.grpc.v1.cri\".cni]
    bin_dir = \"/usr/lib/cni\"
    conf_dir = \"/etc/cni/net.d\"
"
    .to_owned()
}
