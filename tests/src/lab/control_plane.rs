//! The control plane: etcd, kube-apiserver, kube-controller-manager and kube-scheduler, upstream's
//! own, in a namespace of their own.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use kube::config::{KubeConfigOptions, Kubeconfig};
use parking_lot::Mutex;

use super::artifacts::Artifacts;
use super::eventually::eventually;
use super::home::Home;
use super::netns::{self, Netns};
use super::network::{API_SERVER, NodeAddresses, POD_NETWORKS, SERVICE_NETWORKS, create_management};
use super::process::{Launch, Process};

/// How long the API server may take to start; it takes 3 s on an idle machine.
const START: Duration = Duration::from_secs(90);

/// Names and addresses under which the API server is called.
const API_SERVER_NAMES: &str = "127.0.0.1,::1,10.96.0.1,fd00:10:96::1,localhost,kubernetes,\
    kubernetes.default,kubernetes.default.svc,kubernetes.default.svc.cluster.local";

/// A running control plane.
#[derive(Debug)]
pub(crate) struct ControlPlane {
    pub(crate) netns: Netns,
    pub(crate) api_server: ApiServer,
    /// Held so that they run as long as the lab.
    others: Vec<Process>,
}

/// The API server, which tests stop and start.
#[derive(Debug)]
pub struct ApiServer {
    home: Home,
    launch: Launch,
    process: Mutex<Option<Process>>,
}

// === impl ControlPlane ===

impl ControlPlane {
    /// Makes its namespace and certificates, and starts all that does not need the API server.
    pub(crate) async fn prepare(home: &Home, artifacts: &Artifacts, nodes: &[NodeAddresses]) -> Result<Self> {
        let netns = Netns::create(home.id(), "cp")?;
        create_management(&netns)?;
        let kc = |component: &str| Launch::new(component, &netns, artifacts.kc()).args([component]);
        let etcd = etcd(kc("etcd"), home).start(home)?;
        let (forward, local) = start_forward(home, artifacts, &netns).await?;
        write_certificates(home, artifacts, &local, nodes)?;
        let api_server = ApiServer {
            home: home.clone(),
            launch: api_server(kc("kube-apiserver"), home),
            process: Mutex::new(None),
        };
        api_server.launch()?;
        Ok(Self {
            netns,
            api_server,
            others: vec![etcd, forward],
        })
    }

    /// Waits until the API server is ready, then starts those that need it.
    pub(crate) async fn start(
        &mut self,
        home: &Home,
        artifacts: &Artifacts,
        with_scheduler: bool,
    ) -> Result<()> {
        // Only then: without the roles that the API server makes at its start, the controller manager
        // ends at once.
        self.api_server.wait_ready().await?;
        let kc = |component: &str| Launch::new(component, &self.netns, artifacts.kc()).args([component]);
        self.others
            .push(controller_manager(kc("kube-controller-manager"), home).start(home)?);
        if with_scheduler {
            self.others
                .push(scheduler(kc("kube-scheduler"), home).start(home)?);
        }
        Ok(())
    }
}

// === impl ApiServer ===

impl ApiServer {
    /// Starts it and waits until it is ready.
    pub async fn start(&self) -> Result<()> {
        self.launch()?;
        self.wait_ready().await
    }

    fn launch(&self) -> Result<()> {
        let mut process = self.process.lock();
        if process.is_some() {
            bail!("the API server runs already");
        }
        *process = Some(self.launch.start(&self.home)?);
        Ok(())
    }

    async fn wait_ready(&self) -> Result<()> {
        let client = client(&self.home).await?;
        eventually(START, "the API server is ready", async || {
            self.with(Process::check_running)?;
            let request = http_get("/readyz")?;
            let answer = client.request_text(request).await?;
            if answer != "ok" {
                bail!("it says {answer}");
            }
            Ok(())
        })
        .await
    }

    /// Kills it: every connection breaks, new ones are refused.
    pub fn stop(&self) -> Result<()> {
        let process = self.process.lock().take();
        process.context("the API server does not run")?.kill()
    }

    /// Has it hang: connections stay open and nothing is answered.
    pub fn freeze(&self) -> Result<()> {
        self.with(Process::freeze)
    }

    /// Has it go on after [`ApiServer::freeze`].
    pub fn thaw(&self) -> Result<()> {
        self.with(Process::thaw)
    }

    fn with<T>(&self, work: impl FnOnce(&Process) -> Result<T>) -> Result<T> {
        work(
            self.process
                .lock()
                .as_ref()
                .context("the API server does not run")?,
        )
    }
}

/// Makes a client with the rights of an administrator. It does not retry by itself: a test wants to
/// see what happened.
pub(crate) async fn client(home: &Home) -> Result<kube::Client> {
    let path = home.pki("admin-local.kubeconfig");
    let kubeconfig =
        Kubeconfig::read_from(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    Ok(kube::Client::try_from(config)?)
}

fn http_get(path: &str) -> Result<http::Request<Vec<u8>>> {
    Ok(http::Request::get(path).body(Vec::new())?)
}

/// Starts the forward from this machine's loopback to the API server; returns its URL.
async fn start_forward(home: &Home, artifacts: &Artifacts, netns: &Netns) -> Result<(Process, String)> {
    let mut launch = Launch::new("fwd", netns, artifacts.kctools()).args(["fwd", "-to", "127.0.0.1:6443"]);
    launch = launch.args(["-netns".into(), netns.path().into_os_string()]);
    launch.netns = None;
    let forward = launch.start(home)?;
    let address = eventually(Duration::from_secs(10), "the port forward listens", async || {
        forward.check_running()?;
        let log = forward.read_log()?;
        let line = log
            .split_once('\n')
            .context("it has not said where")?
            .0
            .to_owned();
        Ok(line)
    })
    .await?;
    Ok((forward, format!("https://{address}")))
}

fn write_certificates(
    home: &Home,
    artifacts: &Artifacts,
    local: &str,
    nodes: &[NodeAddresses],
) -> Result<()> {
    let nodes: Vec<String> = nodes
        .iter()
        .map(|node| {
            let lan = node.lan();
            format!(
                "{}={}+{}+{}",
                node.name(),
                lan.ipv4(),
                lan.ipv6(),
                node.management()
            )
        })
        .collect();
    let server = format!("https://{API_SERVER}:6443");
    netns::run(
        std::process::Command::new(artifacts.kctools())
            .args(["certs", "-dir"])
            .arg(home.path("pki"))
            .args(["-server", &server, "-local", local])
            .args(["-san", &format!("{API_SERVER},{API_SERVER_NAMES}")])
            .args(["-nodes", &nodes.join(",")]),
    )
}

fn etcd(launch: Launch, home: &Home) -> Launch {
    launch
        .args(["--data-dir".into(), home.path("etcd").into_os_string()])
        .args([
            "--name=lab",
            "--unsafe-no-fsync",
            "--listen-client-urls=http://127.0.0.1:2379",
            "--advertise-client-urls=http://127.0.0.1:2379",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--initial-advertise-peer-urls=http://127.0.0.1:2380",
            "--initial-cluster=lab=http://127.0.0.1:2380",
            "--log-level=warn",
        ])
}

fn api_server(launch: Launch, home: &Home) -> Launch {
    let file = |flag: &str, name: &str| format!("--{flag}={}", home.pki(name).display());
    launch
        .args([
            "--etcd-servers=http://127.0.0.1:2379",
            "--bind-address=0.0.0.0",
            "--secure-port=6443",
            &format!("--advertise-address={API_SERVER}"),
            &format!("--service-cluster-ip-range={SERVICE_NETWORKS}"),
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            "--kubelet-preferred-address-types=InternalIP",
            // Webhooks are called at the addresses of pods, since no kube-proxy runs here.
            "--enable-aggregator-routing=true",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--profiling=false",
        ])
        .args([
            file("tls-cert-file", "apiserver.crt"),
            file("tls-private-key-file", "apiserver.key"),
            file("client-ca-file", "ca.crt"),
            file("kubelet-client-certificate", "apiserver-kubelet-client.crt"),
            file("kubelet-client-key", "apiserver-kubelet-client.key"),
            file("requestheader-client-ca-file", "front-proxy-ca.crt"),
            file("proxy-client-cert-file", "front-proxy-client.crt"),
            file("proxy-client-key-file", "front-proxy-client.key"),
            file("service-account-key-file", "sa.pub"),
            file("service-account-signing-key-file", "sa.key"),
        ])
}

fn controller_manager(launch: Launch, home: &Home) -> Launch {
    let file = |flag: &str, name: &str| format!("--{flag}={}", home.pki(name).display());
    launch
        .args(clients_of("controller-manager", home))
        .args([
            file("service-account-private-key-file", "sa.key"),
            file("root-ca-file", "ca.crt"),
            file("cluster-signing-cert-file", "ca.crt"),
            file("cluster-signing-key-file", "ca.key"),
        ])
        .args([
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            "--allocate-node-cidrs=true",
            "--node-cidr-mask-size-ipv4=24",
            "--node-cidr-mask-size-ipv6=64",
            &format!("--cluster-cidr={POD_NETWORKS}"),
            &format!("--service-cluster-ip-range={SERVICE_NETWORKS}"),
            // A dead node is noticed in 9 s instead of 50.
            "--node-monitor-grace-period=8s",
            "--node-monitor-period=1s",
            // The default of 20 requests a second alone makes its start 4.5 s longer.
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
        ])
}

fn scheduler(launch: Launch, home: &Home) -> Launch {
    launch.args(clients_of("scheduler", home)).args([
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
    ])
}

/// How a component reaches the API server, for each of the ways in which it asks it.
fn clients_of(user: &str, home: &Home) -> [String; 3] {
    let path = home.pki(&format!("{user}.kubeconfig"));
    [
        "kubeconfig",
        "authentication-kubeconfig",
        "authorization-kubeconfig",
    ]
    .map(|flag| format!("--{flag}={}", path.display()))
}
