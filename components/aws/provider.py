"""The AWS provider of the stack: one, explicit, with the stack's tags on all that it makes."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from components.settings import AwsSettings

_SERVICES = ("ec2", "efs", "elbv2", "sts")


def aws_provider(settings: AwsSettings) -> aws.Provider:
    """A provider for the region, or for the endpoint that stands in for AWS.

    Every resource carries `tinderbox:stack`: by it `make sweep` finds what a killed run left.
    """
    endpoints = None
    if settings.endpoint is not None:
        endpoints = [
            aws.ProviderEndpointArgs(**{service: settings.endpoint for service in _SERVICES})
        ]
    return aws.Provider(
        "aws",
        region=settings.region,
        access_key=settings.access_key,
        secret_key=settings.secret_key,
        endpoints=endpoints,
        # Asked of AWS's own services, which another endpoint need not have.
        skip_credentials_validation=settings.endpoint is not None,
        skip_metadata_api_check=settings.endpoint is not None,
        default_tags=aws.ProviderDefaultTagsArgs(
            tags={
                "tinderbox:stack": pulumi.get_stack(),
                "tinderbox:project": pulumi.get_project(),
            }
        ),
    )
