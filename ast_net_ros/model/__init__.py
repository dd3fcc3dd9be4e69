"""AST-Net: the network, its weights and how it is run. Knows no image format and no ROS."""

from ast_net_ros.model.config import EMOTIONS
from ast_net_ros.model.errors import DeviceError
from ast_net_ros.model.inference import AffectModel, load_model
from ast_net_ros.model.weights import WeightsError

__all__ = ["EMOTIONS", "AffectModel", "DeviceError", "WeightsError", "load_model"]
