"""A Kubernetes API server of our own: etcd in memory, kube-apiserver, tokens, kubeconfigs.

The real ones, so that CRDs, CEL rules, RBAC, field ownership and watches are what users have. No
controllers run: nothing is garbage collected, no namespace is ever gone, no pod starts.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import yaml

from controlplane.local.errors import MissingBinaryError, StartError
from controlplane.local.ports import LOOPBACK, free_port
from controlplane.local.process import Process, require
from controlplane.local.startable import Startable

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
ADMIN = "admin"
SERVICE_ACCOUNT = "system:serviceaccount:sluice-system:sluice"
READY_DEADLINE = 60.0
_PORT_TRIES = 5
_CALL_DEADLINE = 10.0


def binary(name: str) -> Path:
    """The program `etcd` or `kube-apiserver`: named as envtest does, or built by `make rig`."""
    variable = f"TEST_ASSET_{name.upper().replace('-', '_')}"
    named = os.environ.get(variable)
    path = Path(named) if named else ROOT / ".rig" / name
    if not path.is_file():
        where = f"{variable} names {path}, which is not there" if named else f"there is no {path}"
        raise MissingBinaryError(f"{where}: run `make rig`, which builds {name}")
    return path


class ApiServer(Startable):
    """etcd and kube-apiserver on loopback ports, which stay the same over restarts.

    `service_accounts` are user names that get a token at the start; any other ServiceAccount can
    have one later, by `service_account_token`. `flags` are more of kube-apiserver's.
    """

    def __init__(
        self,
        directory: Path,
        *,
        service_accounts: Sequence[str] = (SERVICE_ACCOUNT,),
        flags: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        self._flags = tuple(flags)
        self._tokens = {user: f"token-of-{user}" for user in (ADMIN, *service_accounts)}
        self._port = 0
        self._etcd_port = 0
        self._data: Path | None = None
        self._etcd: Process | None = None
        self._api: Process | None = None

    # ------------------------------------------------------------------------------- looking
    @property
    def url(self) -> str:
        """Where the API server listens."""
        return f"https://{LOOPBACK}:{self._port}"

    @property
    def port(self) -> int:
        """Its TCP port."""
        return self._port

    @property
    def ca(self) -> Path:
        """The certificate to trust."""
        return self.directory / "certificates" / "apiserver.crt"

    @property
    def logs(self) -> tuple[Path, Path]:
        """What the two programs print."""
        return (self.directory / "etcd.log", self.directory / "kube-apiserver.log")

    @property
    def etcd_url(self) -> str:
        """Where etcd listens."""
        return f"http://{LOOPBACK}:{self._etcd_port}"

    def token(self, user: str = ADMIN) -> str:
        """The token of a user that was named at the start."""
        return self._tokens[user]

    def kubeconfig(
        self,
        user: str = ADMIN,
        *,
        token: str | None = None,
        namespace: str = "default",
        url: str | None = None,
    ) -> Path:
        """Writes a kubeconfig for a user; `url` leads there by another way, such as a proxy."""
        name = f"{user}-{url or self.url}".translate(str.maketrans(":/", "__"))
        path = self.directory / f"{name}.kubeconfig"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "test",
                    "cluster": {
                        "server": url or self.url,
                        "certificate-authority": str(self.ca.resolve()),
                    },
                }
            ],
            "users": [{"name": user, "user": {"token": token or self._tokens[user]}}],
            "contexts": [
                {
                    "name": "test",
                    "context": {"cluster": "test", "user": user, "namespace": namespace},
                }
            ],
            "current-context": "test",
        }
        path.write_text(yaml.safe_dump(content))
        path.chmod(0o600)
        return path

    async def call(self, method: str, path: str, body: Any = None, token: str = "") -> Any:
        """Sends one request as the admin, past all code that is under test."""
        context = ssl.create_default_context(cafile=str(self.ca))
        headers = {"Authorization": f"Bearer {token or self._tokens[ADMIN]}"}
        async with httpx.AsyncClient(
            base_url=self.url, verify=context, timeout=_CALL_DEADLINE, trust_env=False
        ) as client:
            response = await client.request(method, path, json=body, headers=headers)
        if response.is_error:
            raise AssertionError(f"{method} {path}: {response.status_code} {response.text[:1000]}")
        return response.json() if response.content[:1] in {b"{", b"["} else response.text

    async def service_account_token(self, namespace: str, name: str) -> str:
        """A token that the API server itself issues, as pods have; the ServiceAccount must be."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        answer = await self.call("POST", path, body)
        return str(answer["status"]["token"])

    async def compact(self) -> None:
        """Forgets all history up to now, in etcd, as happens every few minutes in a cluster."""
        async with httpx.AsyncClient(base_url=self.etcd_url, trust_env=False) as client:
            status = await client.post("/v3/maintenance/status", json={})
            revision = status.json()["header"]["revision"]
            answer = await client.post(
                "/v3/kv/compaction", json={"revision": revision, "physical": True}
            )
        answer.raise_for_status()

    # ------------------------------------------------------------------------------- running
    async def start(self, deadline: float = READY_DEADLINE) -> None:
        """Starts etcd and the API server, and waits until it is ready."""
        if self._etcd is None:
            await self._start_etcd(deadline)
        if not self._port:
            self._port = free_port()
        await self._start_api(deadline)

    async def restart(self, deadline: float = READY_DEADLINE) -> None:
        """Starts the API server again, on the same data, after `kill` or `stop`."""
        await self.stop()
        await self._start_api(deadline)

    async def stop(self, deadline: float = 20.0) -> None:
        """Ends the API server in order; etcd goes on."""
        if self._api is not None:
            await self._api.terminate(deadline)

    def kill(self) -> None:
        """Ends the API server at once (SIGKILL)."""
        require(self._api, "kube-apiserver").kill()

    def pause(self) -> None:
        """Stops it from doing anything, with its connections open (SIGSTOP)."""
        require(self._api, "kube-apiserver").signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a paused one go on."""
        require(self._api, "kube-apiserver").signal(signal.SIGCONT)

    async def close(self) -> None:
        """Ends both and forgets the data."""
        if self._api is not None:
            self._api.kill()
        if self._etcd is not None:
            self._etcd.kill()
        if self._data is not None:
            await asyncio.to_thread(shutil.rmtree, self._data, ignore_errors=True)

    async def _start_etcd(self, deadline: float) -> None:
        program = binary("etcd")
        self.directory.mkdir(parents=True, exist_ok=True)
        self._data = _in_memory()
        for remaining in reversed(range(_PORT_TRIES)):
            self._etcd_port, peer = free_port(), f"http://{LOOPBACK}:{free_port()}"
            self._etcd = Process(
                "etcd",
                [
                    program,
                    f"--data-dir={self._data / 'etcd'}",
                    f"--listen-client-urls={self.etcd_url}",
                    f"--advertise-client-urls={self.etcd_url}",
                    f"--listen-peer-urls={peer}",
                    f"--initial-advertise-peer-urls={peer}",
                    f"--initial-cluster=default={peer}",
                    "--unsafe-no-fsync",
                    "--log-level=warn",
                ],
                log=self.logs[0],
            )
            try:
                await self._etcd.until_ready(self._etcd_answers, deadline)
            except StartError:  # the port may have been taken since it was found free
                if not remaining:
                    raise
            else:
                return

    async def _etcd_answers(self) -> bool:
        return await _answers(f"{self.etcd_url}/health", verify=False)

    async def _start_api(self, deadline: float) -> None:
        program = binary("kube-apiserver")
        await asyncio.to_thread(self._prepare)
        key = self.directory / "service-accounts.key"
        self._api = Process(
            "kube-apiserver",
            [
                program,
                f"--etcd-servers={self.etcd_url}",
                f"--cert-dir={self.ca.parent}",
                f"--bind-address={LOOPBACK}",
                f"--secure-port={self._port}",
                "--authorization-mode=RBAC",
                "--service-cluster-ip-range=10.0.0.0/24",
                "--allow-privileged=true",
                "--disable-admission-plugins=ServiceAccount",  # a controller would make defaults
                f"--service-account-issuer={self.url}/",
                f"--service-account-key-file={key}",
                f"--service-account-signing-key-file={key}",
                f"--token-auth-file={self.directory / 'tokens.csv'}",
                *self._flags,
            ],
            log=self.logs[1],
        )
        await self._api.until_ready(self._api_answers, deadline)

    async def _api_answers(self) -> bool:
        await asyncio.sleep(0.1)  # each question costs it a handshake
        # By its own certificate no other server on that port can be taken for it.
        return self.ca.is_file() and await _answers(f"{self.url}/readyz", verify=self.ca)

    def _prepare(self) -> None:
        lines = [
            f'{token},{user},{number},"{_groups(user)}"\n'
            for number, (user, token) in enumerate(self._tokens.items())
        ]
        (self.directory / "tokens.csv").write_text("".join(lines))
        key = self.directory / "service-accounts.key"
        if not key.exists():
            # Not `genpkey`: the server does not read a PKCS #8 key as a public one.
            command = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout"]
            subprocess.run(
                [*command, "-out", str(key)], check=True, capture_output=True, timeout=30
            )


def _groups(user: str) -> str:
    if user == ADMIN:
        return "system:masters"
    if user.startswith("system:serviceaccount:"):
        namespace = user.split(":")[2]
        return f"system:serviceaccounts,system:serviceaccounts:{namespace}"
    return "people"


def _in_memory() -> Path:
    """A folder that needs no disk, where the system has one: etcd writes each change at once."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    parent = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix="sluice-etcd-", dir=parent))


async def _answers(url: str, *, verify: Path | bool) -> bool:
    context: ssl.SSLContext | bool = False
    if isinstance(verify, Path):
        try:
            context = ssl.create_default_context(cafile=str(verify))
        except (OSError, ssl.SSLError):  # being written
            return False
    headers = {"Authorization": f"Bearer token-of-{ADMIN}"}
    try:
        async with httpx.AsyncClient(verify=context, timeout=1.0, trust_env=False) as client:
            response = await client.get(url, headers=headers)
    except httpx.HTTPError:
        return False
    return response.is_success


def manifest(text: str) -> Any:
    """One object from YAML, as plain JSON values."""
    return json.loads(json.dumps(yaml.safe_load(text)))
