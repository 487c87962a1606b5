"""What this service is offered: what it costs, what fits, and what can go wrong before the first answer."""

#% if cookiecutter.__pictures
import json

#% endif
import re
from dataclasses import dataclass
from math import ceil

#% if cookiecutter.__pictures
from capacity import memory, sources
from capacity.model import GIB
#% else
from capacity import cards, memory, sources
from capacity.flags import Flags, of_service
from capacity.model import GIB, Model
#% endif
from console.errors import Failure
from deploy.api import Api
from deploy.documents import schema
from deploy.documents.files import Document
from deploy.dstack.answers import Machine
from deploy.environments import Environment

HOURS_A_MONTH = 730
HOST_CUDA = 12.8  # the oldest that dstack asks RunPod and Vast.ai for (its backends' compute.py)
START_MINUTES = {"runpod": 20, "vastai": 10}  # image included, then dstack gives up (pipeline_tasks/common.py)
DOWNLOAD_MBIT = 128  # a second: the slowest that dstack takes from Vast.ai (inet_down); RunPod promises nothing
#% if cookiecutter.__pictures
CUDA_13 = {"vllm/vllm-openai": (0, 20), "vllm/vllm-omni": (0, 30)}  # major and minor version of the image
#% else
CUDA_13 = {"vllm/vllm-openai": (0, 20)}  # major and minor version of the image
#% endif
IMAGE_GB, UNPACKED_GB = 11.8, 30.0  # vllm/vllm-openai, on the way and on the disk


@dataclass(frozen=True)
class Offer:
    """A machine, how the model fits it (None: nobody knows), and what speaks against it."""

    machine: Machine
    fit: memory.Fit | None
    problems: dict[str, str]

    def price_of(self, at_once: int) -> float:
        """USD per hour of the machines that answer so many requests of full length at once; infinite where none fits.

        0: of one request's share of a machine that is full.
        """
        requests = self.fit.requests if self.fit else 1
        if not requests:
            return float("inf")
        return self.machine.price * (ceil(at_once / requests) if at_once else 1 / requests)

    def as_json(self) -> Document:
        """Prices in USD."""
        fits = {"fits": self.fit.fits, "requests_at_once": self.fit.requests} if self.fit else {}
        each = {"price_per_request": round(self.price_of(0), 4)} if self.fit and self.fit.requests else {}
        month = {"price_per_month": round(self.machine.price * HOURS_A_MONTH, 2)}
        return self.machine.as_json() | month | fits | each | {"problems": self.problems}


def find(environment: Environment, at_once: int = 0) -> tuple[list[Offer], Failure | None]:
    """The offers of this moment, the cheapest for what it is to answer first; and why they are not sized, where so."""
    schema.check(environment)
    found, unsized = assess(environment, machines(Api(environment), environment))
    return sorted(found, key=lambda offer: (offer.price_of(at_once), offer.machine.price)), unsized


def machines(api: Api, environment: Environment, *, unlimited: bool = False) -> list[Machine]:
    """What the fleet, as its file says, lets the service rent, first tried first; or without the limit of its price."""
    fleet = {key: value for key, value in environment.fleet.items() if not (unlimited and key == "max_price")}
    return api.plan_run(schema.offered(environment.service, fleet), None, any_fleet=True).offers


def rows(found: list[Offer], at_once: int = 0) -> list[dict[str, str]]:
    """A line for each offer, by column; a column that would tell none from another is left out."""
    everywhere, sized = shared(found), any(offer.fit for offer in found)
    differ = any(offer.problems.keys() - everywhere for offer in found)
    lines = []
    for offer in found:
        machine, requests = offer.machine, offer.fit.requests if offer.fit else None
        line = {"cloud": machine.backend, "region": machine.region, "GPU": machine.gpu}
        line |= {"$/h": f"{machine.price:.2f}", "$/month": f"{machine.price * HOURS_A_MONTH:,.0f}"}
        if sized:
            line["at once"] = "?" if requests is None else str(requests)
            price = f"{offer.price_of(at_once):.3f}" if requests else "-"
            line[f"$/h for {at_once}" if at_once else "$/h each"] = price
        if differ:
            line["look out for"] = " ".join(subject for subject in offer.problems if subject not in everywhere)
        lines.append(line)
    return lines


def shared(found: list[Offer]) -> set[str]:
    """The subjects of problems that every offer has."""
    return set.intersection(*(set(offer.problems) for offer in found)) if found else set()


#% if cookiecutter.__pictures
def assess(environment: Environment, machines: list[Machine]) -> tuple[list[Offer], Failure | None]:
    """What speaks against these machines, in their order: of a model that draws, weights and one picture are known."""
    own = json.loads(sources.OWN.read_text(encoding="utf-8"))
    found = [Offer(machine, None, problems(environment, machine, own["weights_gib"])) for machine in machines]
    for offer in found:
        gib = sum(gpu.memory_mib for gpu in offer.machine.gpus) / 1024
        if gib < own["picture_gib"]:
            offer.problems["memory"] = f"{gib:.0f} GiB, and a picture of 1024 x 1024 takes {own['picture_gib']:.1f}"
    return found, None


#% else
def assess(environment: Environment, machines: list[Machine]) -> tuple[list[Offer], Failure | None]:
    """How the service fits these machines, in their order."""
    fits: list[memory.Fit | None] = [None] * len(machines)
    weights, unsized = None, None
    try:
        model = sources.read_model()
        weights = model.published_gib or model.weights_gib()
        with sources.refusing("dstack/service.dstack.yml"):
            flags = Flags.model_validate(of_service(environment.service))
            fits = [_fit(machine, model, flags) for machine in machines]
    except Failure as failure:
        unsized = failure
    fitted = zip(machines, fits, strict=True)
    return [Offer(machine, fit, problems(environment, machine, weights)) for machine, fit in fitted], unsized


def _fit(machine: Machine, model: Model, flags: Flags) -> memory.Fit | None:
    if not machine.gpus:
        return None
    card = cards.listed(machine.gpus[0].name, machine.gpus[0].memory_mib, len(machine.gpus))
    return memory.size(model, flags, card.gib, card.count, card.name)


#% endif
def problems(environment: Environment, machine: Machine, weights_gib: float | None) -> dict[str, str]:
    """What speaks against a machine before the model is loaded, by subject; of weights as they are downloaded."""
    found: dict[str, str] = {}
    image = str(environment.service.get("image", ""))
    cuda = cuda_of(image)
    if cuda and cuda > HOST_CUDA:
        found["cuda"] = f"the image has CUDA {cuda}, hosts are asked for {HOST_CUDA}: one that is older refuses it"
    sized = "vllm-openai" in image  # of no other image the size is known here
    minutes = IMAGE_GB * 8000 / DOWNLOAD_MBIT / 60
    if sized and minutes > START_MINUTES.get(machine.backend, 60):
        limit = f"{START_MINUTES[machine.backend]} minutes on {machine.backend}"
        found["image"] = f"{IMAGE_GB} GB take {minutes:.0f} minutes at {DOWNLOAD_MBIT} Mbit/s, and dstack gives {limit}"
    wanted = UNPACKED_GB * sized + (weights_gib or 0) * GIB / 1e9
    if machine.disk_mib and machine.disk_mib * 2**20 / 1e9 < wanted:
        what = "image and weights, which take" if sized else "the image, and weights of"
        found["disk"] = f"{machine.disk_mib * 2**20 / 1e9:.0f} GB for {what} {wanted:.0f}"
    limit_price = environment.max_price_per_hour
    if limit_price and machine.price > limit_price:
        found["price"] = f"${machine.price:.2f} an hour, max_price_per_hour is {limit_price:.2f}"
    return found


def cuda_of(image: str) -> float | None:
    """Return the version of CUDA in an image of vLLM; None for other images, and where its name does not say.

    The tag's suffix says it, as in `-cu129`; without one, it is 13.0 from the version in CUDA_13 on.
    """
    repository, _, tag = image.partition("@")[0].rpartition(":")
    if found := re.search(r"-cu(\d\d)(\d)(?![0-9])", tag):
        return float(f"{found[1]}.{found[2]}")
    oldest = CUDA_13.get(repository.removeprefix("docker.io/"))
    version = re.fullmatch(r"v(\d+)\.(\d+)(\.\d+)*", tag)
    if not oldest or not version or (int(version[1]), int(version[2])) < oldest:
        return None
    return 13.0
