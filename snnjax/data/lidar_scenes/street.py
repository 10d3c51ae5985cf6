"""Where objects stand on a street: vehicles, people, walls, poles and plants that keep apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from . import objects
from .ground import PARKING, Ground
from .objects import Pose, Rng, Thing

Range = tuple[int, int]
CLEAR = 3.0  # half side of the square round the sensor that stays free
TRIES = 3  # places that are tried for a driving vehicle
MARGIN = 0.15  # least distance of two footprints, in metres
PARKED = 0.55  # probability that a parking place is taken
SPACING = (5.3, 7.5)  # distance of parking places


class Counts(Protocol):
    """Least and largest number of objects of each kind, and how far out they stand."""

    @property
    def driving(self) -> Range: ...
    @property
    def stray(self) -> Range: ...
    @property
    def pedestrians(self) -> Range: ...
    @property
    def cyclists(self) -> Range: ...
    @property
    def poles(self) -> Range: ...
    @property
    def plants(self) -> Range: ...
    @property
    def reach(self) -> float: ...


class Street:
    """A ground and the things placed on it so far."""

    def __init__(self, rng: Rng, ground: Ground):
        self.rng, self.ground = rng, ground
        self.things: list[Thing] = []
        self._taken = np.array([[0.0, 0.0, 0.0, CLEAR, CLEAR]])  # x, y, yaw, half sides

    def pose(self, u: float, v: float, turn: float = 0.0) -> Pose:
        x, y = self.ground.place(u, v)
        return Pose(x, y, self.ground.height(x, y), self.ground.yaw + turn)

    def free(self, at: Pose, length: float, width: float) -> bool:
        """Take the footprint if it meets no other."""
        rectangle = np.array([at.x, at.y, at.yaw, length / 2 + MARGIN, width / 2 + MARGIN])
        if np.any(rectangles_meet(rectangle, self._taken)):
            return False
        self._taken = np.vstack([self._taken, rectangle])
        return True

    def on_crossing(self, u: float, half: float) -> bool:
        middle, width = self.ground.crossing
        return width > 0 and abs(u - middle) < width + half


def rectangles_meet(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether a rectangle overlaps each of others, by the separating axes of both.

    Args:
      one: x, y, yaw, half length, half width; [5]. others: the same, [N, 5].

    Returns:
      bool [N].
    """
    dx, dy = others[:, 0] - one[0], others[:, 1] - one[1]
    turn = others[:, 2] - one[2]
    c, s = np.abs(np.cos(turn)), np.abs(np.sin(turn))
    meet = np.ones(len(others), bool)
    own, other = (one[3], one[4]), (others[:, 3], others[:, 4])
    for yaw, (a, b), (p, q) in ((one[2], own, other), (others[:, 2], other, own)):
        cy, sy = np.cos(yaw), np.sin(yaw)
        meet &= np.abs(cy * dx + sy * dy) < a + p * c + q * s
        meet &= np.abs(cy * dy - sy * dx) < b + p * s + q * c
    return meet


def build(rng: Rng, counts: Counts) -> tuple[Ground, list[Thing]]:
    """A random street and its objects; those without room are left out."""
    street = Street(rng, Ground.draw(rng))
    for place in (_vehicles, _people, _walls, _poles, _plants):
        place(street, counts)
    return street.ground, street.things


def _number(rng: Rng, limits: Range) -> int:
    return int(rng.integers(limits[0], limits[1] + 1))


def _vehicles(street: Street, counts: Counts) -> None:
    rng, ground, reach = street.rng, street.ground, counts.reach
    for _ in range(_number(rng, counts.driving)):
        side = int(rng.choice([-1, 1]))
        v = side * ground.half / 2 + rng.normal(0, 0.15)
        turn = (np.pi if side > 0 else 0.0) + rng.uniform(-0.05, 0.05)
        for _ in range(TRIES):
            if _vehicle(street, rng.uniform(-reach, reach), v, turn, cars=0.78):
                break
    if ground.parking:
        v = ground.parking * (ground.half + PARKING / 2)
        u = -reach + rng.uniform(*SPACING)
        while u < reach:
            if rng.random() < PARKED and not street.on_crossing(u, 3):
                turn = (np.pi if rng.random() < 0.3 else 0.0) + rng.uniform(-0.05, 0.05)
                _vehicle(street, u, v + rng.normal(0, 0.1), turn, cars=0.85)
            u += rng.uniform(*SPACING)
    for _ in range(_number(rng, counts.stray)):
        u, v = rng.uniform(-0.6 * reach, 0.6 * reach), rng.uniform(-0.5 * reach, 0.5 * reach)
        _vehicle(street, u, v, rng.uniform(-np.pi, np.pi), cars=0.85)


def _vehicle(street: Street, u: float, v: float, turn: float, cars: float) -> bool:
    """Place a car, van or truck; False if it has no room."""
    rng = street.rng
    chance = rng.random()
    if chance < cars:
        size, make = objects.car_size(rng), objects.car
    elif chance < cars + 0.6 * (1 - cars):
        size, make = objects.van_size(rng), objects.van
    else:
        size, make = objects.truck_size(rng), objects.truck
    at = street.pose(u, v, turn)
    if not street.free(at, size[0], size[1]):
        return False
    street.things.append(make(rng, at, size))
    return True


def _people(street: Street, counts: Counts) -> None:
    rng, ground = street.rng, street.ground
    near = 0.7 * counts.reach
    for _ in range(_number(rng, counts.pedestrians)):
        side = int(rng.choice([-1, 1]))
        v = side * (ground.kerb(side) + rng.uniform(0.3, ground.walk(side) - 0.3))
        at = street.pose(rng.uniform(-near, near), v, rng.uniform(-np.pi, np.pi))
        if street.free(at, 0.64, 0.64):
            street.things.append(objects.pedestrian(rng, at))
    for _ in range(_number(rng, counts.cyclists)):
        side = int(rng.choice([-1, 1]))
        turn = (np.pi if side > 0 else 0.0) + rng.normal(0, 0.1)
        v = side * (ground.half - rng.uniform(0.4, 0.9))
        at = street.pose(rng.uniform(-near, near), v, turn)
        if street.free(at, 1.85, 0.6):
            street.things.append(objects.cyclist(rng, at))


def _walls(street: Street, counts: Counts) -> None:
    """Buildings, fences and hedges in pieces along both sides, except on the crossing."""
    rng, ground = street.rng, street.ground
    for side in (-1, 1):
        u = -counts.reach
        while u < counts.reach:
            length = rng.uniform(7, 20)
            middle, chance, hedged = u + length / 2, rng.random(), rng.random() < 0.6
            u += length
            if street.on_crossing(middle, length / 2) or chance > 0.45 + 0.55 * 0.85:
                continue
            make, depth = (objects.hedge, 1.7) if hedged else (objects.fence, 0.08)
            if chance < 0.45:
                make, depth = objects.building, 8.0
            back = rng.uniform(0.5, 6) if chance < 0.45 else rng.uniform(0.2, 2)
            edge = ground.kerb(side) + ground.walk(side) + back
            at = street.pose(middle, side * (edge + depth / 2))
            if street.free(at, length - 0.4, depth):
                street.things.append(make(rng, at, length - 0.4))


def _poles(street: Street, counts: Counts) -> None:
    """Poles, signs and street trees at the kerb of both sides."""
    rng, ground = street.rng, street.ground
    for side in (-1, 1):
        for _ in range(_number(rng, counts.poles)):
            v = side * (ground.kerb(side) + rng.uniform(0.35, 0.8))
            kind = rng.random()
            make = objects.pole if kind < 0.45 else objects.sign if kind < 0.65 else objects.tree
            _plant(street, rng.uniform(-counts.reach, counts.reach), v, 0.5, make)


def _plants(street: Street, counts: Counts) -> None:
    """Trees and bushes on the terrain."""
    rng, ground = street.rng, street.ground
    for _ in range(_number(rng, counts.plants)):
        side = int(rng.choice([-1, 1]))
        v = side * (ground.kerb(side) + ground.walk(side) + rng.uniform(0.8, 0.6 * counts.reach))
        tall = rng.random() < 0.5
        make, size = (objects.tree, 0.8) if tall else (objects.bush, 1.6)
        _plant(street, rng.uniform(-counts.reach, counts.reach), v, size, make)


def _plant(
    street: Street, u: float, v: float, size: float, make: Callable[[Rng, Pose], Thing]
) -> None:
    at = street.pose(u, v)
    if not street.on_crossing(u, 0.5) and street.free(at, size, size):
        street.things.append(make(street.rng, at))
