//! From an administrator's request to the module that decides it.

use drave_raft::image::MetadataImage;

use crate::cluster::administration::{AdminRequest, AdminResponse};
use crate::controller::configs;
use crate::controller::decision::{Decision, Policy};
use crate::controller::elections;
use crate::controller::partitions;
use crate::controller::reassignment;
use crate::random::Random;

pub fn decide(
    image: &MetadataImage,
    policy: &Policy,
    random: &Random,
    request: &AdminRequest,
) -> Decision<AdminResponse> {
    match request {
        AdminRequest::CreatePartitions(it) => {
            partitions::create(image, random, it).map(AdminResponse::CreatePartitions)
        }
        AdminRequest::ElectLeaders(it) => {
            elections::elect(image, policy, it).map(AdminResponse::ElectLeaders)
        }
        AdminRequest::AlterConfigs(it) => {
            configs::alter(image, policy, it).map(AdminResponse::AlterConfigs)
        }
        AdminRequest::AlterReassignments(it) => {
            reassignment::alter(image, policy, it).map(AdminResponse::AlterReassignments)
        }
    }
}
