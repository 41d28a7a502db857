"""Puts the ways to the agent together, for one command, and ends them again.

kubectl is started first; everything else, reading the kubeconfig and the cache included, is done meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from kubectl_flux.agents import DirectAgent, ProxiedAgent
from kubectl_flux.options import Globals
from kubectl_flux.transport import Tls, direct_link, proxied_link
from kubectl_flux.wait import Deadline


@contextmanager
def direct_agent(settings: Globals) -> Iterator[DirectAgent]:
    """The agent at --url.

    Raises:
        PluginError: The file of authorities cannot be used.
    """
    tls = Tls(settings.cluster.certificate_authority, settings.cluster.insecure)
    with closing(DirectAgent(direct_link(settings.url, tls), settings.token)) as agent:
        yield agent


@contextmanager
def proxied_agent(settings: Globals, deadline: Deadline) -> Iterator[ProxiedAgent]:
    """The agent behind the API server, as kubectl reaches it.

    Raises:
        UnreachableError: There is no kubectl.
    """
    from kubectl_flux.kubectl import KubectlProxy, PortForward  # noqa: PLC0415 - not needed with --url

    cluster = settings.cluster
    with KubectlProxy(cluster, settings.agent_namespace, settings.service_account) as proxy:
        from kubectl_flux.cache import Cache  # noqa: PLC0415 - while kubectl starts
        from kubectl_flux.detour import ForwardDetour  # noqa: PLC0415
        from kubectl_flux.identity import AccountIdentity, Caller  # noqa: PLC0415
        from kubectl_flux.kubeconfig import context_namespace, resolved  # noqa: PLC0415
        from kubectl_flux.locate import Locator  # noqa: PLC0415

        link = proxied_link(proxy, deadline)
        context = resolved(cluster)
        cache = Cache(settings.cache_folder)
        caller = Caller(
            settings.service_account,
            cluster.as_user or (f"the kubeconfig's user {context.user}" if context else "kubectl's own user"),
            context.fingerprint if context else "",
        )
        agent = ProxiedAgent(
            link,
            Locator(link, settings.agent_namespace, settings.agent_labels, lambda: context_namespace(cluster)),
            AccountIdentity(link, cache, caller),
            ForwardDetour(lambda service: PortForward(cluster, service), cache, caller.fingerprint, deadline),
        )
        with closing(agent):
            yield agent
