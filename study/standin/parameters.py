"""What a stand-in face is made of: identity, expression, pose, light, scene and camera.

Lengths of the head are in cm (average adult proportions), angles in degrees, colours are sRGB
fractions (r, g, b). Left and right are the image's: "left" is the viewer's left of a frontal
face, as in the 68-point scheme. Each part can change without the others, so that a video keeps
one identity and moves expression and pose.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Hair:
    """Hair of the head: a style of hair.STYLES, its colour and how much it waves."""

    style: str = "short"
    colour: tuple = (0.16, 0.10, 0.07)
    volume: float = 1.0
    wave: float = 0.3
    hairline: float = 0.0  # cm that it recedes
    parting: float = 0.3  # -1 left … 1 right


@dataclass(frozen=True)
class Identity:
    """What stays the same in all pictures of one person.

    Proportions are factors of the average, offsets are cm, the rest are amounts 0 … 1.
    """

    seed: int = 0  # of the skin's and the hair's random detail
    width: float = 1.0
    jaw: float = 0.0  # -1 narrow … 1 square
    nose_length: float = 1.0
    philtrum: float = 1.0
    chin: float = 1.0
    chin_forward: float = 0.0
    forehead: float = 1.0
    fullness: float = 0.3
    cheekbones: float = 0.5
    brow_ridge: float = 0.4
    nose_width: float = 1.0
    nose_height: float = 1.0
    nose_bump: float = 0.0
    nose_tip: float = 0.0  # cm up
    eye_distance: float = 0.0
    eye_size: float = 1.0
    eye_height: float = 1.0
    eye_tilt: float = 0.1
    eye_fold: float = 0.5
    brow_height: float = 0.0
    brow_arch: float = 0.4
    brow_thickness: float = 0.5
    brow_tilt: float = 0.0
    mouth_width: float = 1.0
    upper_lip: float = 1.0
    lower_lip: float = 1.0
    ears: float = 1.0
    neck: float = 1.0
    skin: float = 0.25  # 0 fair … 1 deep
    undertone: float = 0.0  # -1 pink … 1 golden
    blush: float = 0.4
    freckles: float = 0.0
    age: float = 0.2
    beard: float = 0.0
    moustache: float = 0.0
    makeup: float = 0.0
    lip_colour: tuple = (0.72, 0.40, 0.38)
    iris: tuple = (0.35, 0.22, 0.12)
    brow_colour: tuple = (0.14, 0.09, 0.06)
    hair: Hair = field(default_factory=Hair)


@dataclass(frozen=True)
class Expression:
    """What the face does; 0 is at rest unless said."""

    mouth_open: float = 0.0  # 0 … 1
    smile: float = 0.0  # -0.6 … 1
    pucker: float = 0.0  # 0 … 1
    teeth: float = 0.0  # 0 … 1, lips apart without the jaw
    brow_raise: float = 0.0  # -1 … 1
    frown: float = 0.0  # 0 … 1
    blink_left: float = 0.0  # 0 open … 1 closed
    blink_right: float = 0.0
    wide_eyes: float = 0.0
    gaze_x: float = 0.0  # -1 … 1, to the image's right
    gaze_y: float = 0.0  # -1 … 1, up
    skew: float = 0.0  # a lopsided mouth, -1 … 1


@dataclass(frozen=True)
class Pose:
    """Where the head is. Positive yaw turns the nose to the image's right, positive pitch up,
    positive roll turns the head clockwise. x and y shift the face, as fractions of the picture's
    width and height; scale is the height from brows to chin over the picture's height."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    x: float = 0.0
    y: float = 0.0
    scale: float = 0.55
    distance: float = 75.0  # cm from the camera to the head


@dataclass(frozen=True)
class Light:
    """A key light from a direction (x right, y up, z to the camera), a fill and a rim light."""

    direction: tuple = (-0.4, 0.5, 0.8)
    colour: tuple = (1.0, 0.96, 0.90)
    strength: float = 0.85
    fill: float = 0.45
    fill_colour: tuple = (0.90, 0.95, 1.0)
    rim: float = 0.15
    shadow: float = 0.6
    hardness: float = 0.3


@dataclass(frozen=True)
class Scene:
    """Everything that is not the face. `background` is a key of scene.BACKGROUNDS; `occluder` is
    a key of occluders.OCCLUDERS or "" and `glasses` one of "", "thin", "thick", "sun"."""

    seed: int = 0
    background: str = "plain"
    colour: tuple = (0.55, 0.58, 0.60)
    focus: float = 0.5  # 0 sharp … 1 far out of focus
    clothes: tuple = (0.25, 0.30, 0.40)
    collar: str = "round"
    glasses: str = ""
    glasses_colour: tuple = (0.10, 0.09, 0.09)
    occluder: str = ""
    occluder_seed: int = 0


@dataclass(frozen=True)
class Camera:
    """What the camera does to the picture."""

    blur: float = 0.0  # px, Gaussian
    motion: float = 0.0  # px
    motion_angle: float = 0.0
    noise: float = 0.0  # fraction of white
    exposure: float = 1.0
    contrast: float = 1.0
    tint: tuple = (1.0, 1.0, 1.0)
    saturation: float = 1.0
    jpeg: int = 0  # quality, 0 for none
    seed: int = 0


@dataclass(frozen=True)
class Face:
    """All that draw() needs."""

    identity: Identity = field(default_factory=Identity)
    expression: Expression = field(default_factory=Expression)
    pose: Pose = field(default_factory=Pose)
    light: Light = field(default_factory=Light)
    scene: Scene = field(default_factory=Scene)
    camera: Camera = field(default_factory=Camera)
