"""Rewards of a training step from a service, computed while the trainer continues sampling."""

from .remote import UNTIL_THE_STEP_ENDS as UNTIL_THE_STEP_ENDS
from .remote import RemoteReward as RemoteReward
from .sources import RewardSource as RewardSource
from .step import NoRewards as NoRewards
