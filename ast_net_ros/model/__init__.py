"""AST-Net itself: the network, its weights and how it is run. Torch only; knows no image format and no ROS."""

from ast_net_ros.model.inference import AffectModel, DeviceError, load_model
from ast_net_ros.model.network import EMOTIONS
from ast_net_ros.model.weights import WeightsError

__all__ = ["EMOTIONS", "AffectModel", "DeviceError", "WeightsError", "load_model"]
