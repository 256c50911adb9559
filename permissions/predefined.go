package permissions

import "strings"

// predefined are roles of Google's with the permissions of the table that each holds, as the catalogue iann0036/iam-dataset had them on 22 August 2026. Where
// one would do for another, the narrower is here: gkehub.editor in place of gkehub.admin, which may also change who may do what with the fleet. What holds
// nothing that another does not is not: servicenetworking.networksAdmin is within compute.networkAdmin, as far as the program calls it.
var predefined = []Role{
	{Name: "roles/artifactregistry.admin", Holds: strings.Fields(`
		artifactregistry.repositories.create artifactregistry.repositories.delete artifactregistry.repositories.get
		artifactregistry.repositories.getIamPolicy artifactregistry.repositories.setIamPolicy artifactregistry.repositories.update
		resourcemanager.projects.get`)},
	{Name: "roles/certificatemanager.owner", Holds: strings.Fields(`
		certificatemanager.certmapentries.create certificatemanager.certmapentries.delete certificatemanager.certmapentries.get
		certificatemanager.certmapentries.update certificatemanager.certmaps.create certificatemanager.certmaps.delete certificatemanager.certmaps.get
		certificatemanager.certmaps.update certificatemanager.certs.create certificatemanager.certs.delete certificatemanager.certs.get
		certificatemanager.certs.update certificatemanager.certs.use certificatemanager.dnsauthorizations.create
		certificatemanager.dnsauthorizations.delete certificatemanager.dnsauthorizations.get certificatemanager.dnsauthorizations.update
		certificatemanager.dnsauthorizations.use certificatemanager.operations.get resourcemanager.projects.get`)},
	{Name: "roles/cloudkms.admin", Holds: strings.Fields(`
		cloudkms.cryptoKeys.create cloudkms.cryptoKeys.get cloudkms.cryptoKeys.getIamPolicy cloudkms.cryptoKeys.list cloudkms.cryptoKeys.setIamPolicy
		cloudkms.cryptoKeys.update cloudkms.keyRings.create cloudkms.keyRings.get cloudkms.keyRings.list resourcemanager.projects.get`)},
	{Name: "roles/cloudsql.admin", Holds: strings.Fields(`
		cloudsql.databases.create cloudsql.databases.delete cloudsql.databases.get cloudsql.databases.update cloudsql.instances.create
		cloudsql.instances.delete cloudsql.instances.get cloudsql.instances.list cloudsql.instances.update cloudsql.users.create cloudsql.users.delete
		cloudsql.users.list cloudsql.users.update resourcemanager.projects.get serviceusage.services.list`)},
	{Name: "roles/compute.instanceAdmin.v1", Holds: strings.Fields(`
		compute.disks.addResourcePolicies compute.disks.create compute.disks.delete compute.disks.get compute.disks.removeResourcePolicies
		compute.disks.resize compute.disks.setLabels compute.disks.use compute.firewalls.get compute.globalAddresses.get compute.globalOperations.get
		compute.images.getFromFamily compute.images.useReadOnly compute.instanceGroupManagers.get compute.instances.addResourcePolicies
		compute.instances.create compute.instances.delete compute.instances.get compute.instances.getIamPolicy compute.instances.removeResourcePolicies
		compute.instances.setDeletionProtection compute.instances.setIamPolicy compute.instances.setLabels compute.instances.setMachineType
		compute.instances.setMetadata compute.instances.setServiceAccount compute.instances.setTags compute.instances.start compute.instances.stop
		compute.instances.update compute.networks.get compute.networks.use compute.regionOperations.get compute.resourcePolicies.create
		compute.resourcePolicies.delete compute.resourcePolicies.get compute.resourcePolicies.update compute.resourcePolicies.use compute.routers.get
		compute.snapshots.useReadOnly compute.sslPolicies.get compute.subnetworks.get compute.subnetworks.use compute.zoneOperations.get
		resourcemanager.projects.get serviceusage.services.list`)},
	{Name: "roles/compute.networkAdmin", Holds: strings.Fields(`
		compute.firewalls.get compute.globalAddresses.create compute.globalAddresses.createInternal compute.globalAddresses.delete
		compute.globalAddresses.deleteInternal compute.globalAddresses.get compute.globalAddresses.setLabels compute.globalOperations.get
		compute.instanceGroupManagers.get compute.instances.get compute.networks.addPeering compute.networks.create compute.networks.delete
		compute.networks.get compute.networks.update compute.networks.updatePolicy compute.networks.use compute.regionOperations.get
		compute.routers.create compute.routers.delete compute.routers.get compute.routers.update compute.securityPolicies.get compute.sslPolicies.create
		compute.sslPolicies.delete compute.sslPolicies.get compute.sslPolicies.update compute.subnetworks.create compute.subnetworks.delete
		compute.subnetworks.expandIpCidrRange compute.subnetworks.get compute.subnetworks.setPrivateIpGoogleAccess compute.subnetworks.update
		compute.subnetworks.use compute.zoneOperations.get resourcemanager.projects.get servicenetworking.services.addPeering
		servicenetworking.services.get serviceusage.services.list`)},
	{Name: "roles/compute.securityAdmin", Holds: strings.Fields(`
		compute.firewalls.create compute.firewalls.delete compute.firewalls.get compute.firewalls.update compute.globalOperations.get
		compute.networks.get compute.networks.updatePolicy compute.regionOperations.get compute.routers.get compute.securityPolicies.create
		compute.securityPolicies.delete compute.securityPolicies.get compute.securityPolicies.setLabels compute.securityPolicies.update
		compute.sslPolicies.create compute.sslPolicies.delete compute.sslPolicies.get compute.sslPolicies.update compute.subnetworks.get
		compute.zoneOperations.get resourcemanager.projects.get serviceusage.services.list`)},
	{Name: "roles/container.admin", Holds: strings.Fields(`
		container.clusters.create container.clusters.delete container.clusters.get container.clusters.list container.clusters.update
		container.configMaps.create container.configMaps.delete container.configMaps.get container.configMaps.update container.cronJobs.create
		container.cronJobs.delete container.cronJobs.get container.cronJobs.update container.deployments.create container.deployments.delete
		container.deployments.get container.deployments.update container.limitRanges.create container.limitRanges.delete container.limitRanges.get
		container.limitRanges.update container.namespaces.create container.namespaces.delete container.namespaces.get container.namespaces.update
		container.networkPolicies.create container.networkPolicies.delete container.networkPolicies.get container.networkPolicies.update
		container.operations.get container.persistentVolumeClaims.create container.persistentVolumeClaims.delete container.persistentVolumeClaims.get
		container.persistentVolumeClaims.update container.podDisruptionBudgets.create container.podDisruptionBudgets.delete
		container.podDisruptionBudgets.get container.podDisruptionBudgets.update container.pods.get container.pods.portForward
		container.priorityClasses.create container.priorityClasses.delete container.priorityClasses.get container.priorityClasses.update
		container.resourceQuotas.create container.resourceQuotas.delete container.resourceQuotas.get container.resourceQuotas.update
		container.roleBindings.create container.roleBindings.delete container.roleBindings.get container.roleBindings.update container.roles.bind
		container.roles.create container.roles.delete container.roles.escalate container.roles.get container.roles.update container.secrets.create
		container.secrets.delete container.secrets.get container.secrets.update container.serviceAccounts.create container.serviceAccounts.delete
		container.serviceAccounts.get container.serviceAccounts.update container.services.create container.services.delete container.services.get
		container.services.update container.statefulSets.create container.statefulSets.delete container.statefulSets.get container.statefulSets.update
		container.thirdPartyObjects.create container.thirdPartyObjects.delete container.thirdPartyObjects.get container.thirdPartyObjects.update
		resourcemanager.projects.get`)},
	{Name: "roles/dns.admin", Holds: strings.Fields(`
		compute.networks.get dns.changes.create dns.changes.get dns.managedZones.get dns.resourceRecordSets.create dns.resourceRecordSets.delete
		dns.resourceRecordSets.list dns.resourceRecordSets.update resourcemanager.projects.get`)},
	{Name: "roles/gkehub.editor", Holds: strings.Fields(`
		gkehub.memberships.create gkehub.memberships.delete gkehub.memberships.get gkehub.memberships.update gkehub.operations.get
		resourcemanager.projects.get`)},
	{Name: "roles/gkehub.gatewayAdmin", Holds: strings.Fields(`
		gkehub.gateway.delete gkehub.gateway.get gkehub.gateway.patch gkehub.gateway.post gkehub.gateway.put gkehub.gateway.stream gkehub.memberships.get`)},
	{Name: "roles/iam.roleAdmin", Holds: strings.Fields(`
		iam.roles.create iam.roles.delete iam.roles.get iam.roles.undelete iam.roles.update resourcemanager.projects.get
		resourcemanager.projects.getIamPolicy`)},
	{Name: "roles/iam.serviceAccountAdmin", Holds: strings.Fields(`
		iam.serviceAccounts.create iam.serviceAccounts.delete iam.serviceAccounts.get iam.serviceAccounts.getIamPolicy iam.serviceAccounts.setIamPolicy
		iam.serviceAccounts.update resourcemanager.projects.get`)},
	{Name: "roles/iam.serviceAccountUser", Holds: strings.Fields(`
		iam.serviceAccounts.actAs iam.serviceAccounts.get resourcemanager.projects.get`)},
	{Name: "roles/iam.workloadIdentityPoolAdmin", Holds: strings.Fields(`
		iam.googleapis.com/workloadIdentityPoolProviders.create iam.googleapis.com/workloadIdentityPoolProviders.delete
		iam.googleapis.com/workloadIdentityPoolProviders.get iam.googleapis.com/workloadIdentityPoolProviders.update
		iam.googleapis.com/workloadIdentityPools.create iam.googleapis.com/workloadIdentityPools.delete iam.googleapis.com/workloadIdentityPools.get
		iam.googleapis.com/workloadIdentityPools.update resourcemanager.projects.get`)},
	{Name: "roles/iap.admin", Holds: strings.Fields(`
		iap.tunnelInstances.getIamPolicy iap.tunnelInstances.setIamPolicy iap.web.getIamPolicy iap.web.setIamPolicy`)},
	{Name: "roles/monitoring.editor", Holds: strings.Fields(`
		monitoring.alertPolicies.create monitoring.alertPolicies.delete monitoring.alertPolicies.get monitoring.alertPolicies.update
		monitoring.dashboards.create monitoring.dashboards.delete monitoring.dashboards.get monitoring.dashboards.update
		monitoring.notificationChannels.create monitoring.notificationChannels.delete monitoring.notificationChannels.get
		monitoring.notificationChannels.update resourcemanager.projects.get serviceusage.services.enable`)},
	{Name: "roles/resourcemanager.projectIamAdmin", Holds: strings.Fields(`
		resourcemanager.projects.get resourcemanager.projects.getIamPolicy resourcemanager.projects.setIamPolicy`)},
	{Name: "roles/serviceusage.serviceUsageAdmin", Holds: strings.Fields(`
		serviceusage.operations.get serviceusage.services.enable serviceusage.services.list`)},
	{Name: "roles/storage.admin", Holds: strings.Fields(`
		resourcemanager.projects.get storage.buckets.create storage.buckets.delete storage.buckets.get storage.buckets.getIamPolicy
		storage.buckets.setIamPolicy storage.buckets.update storage.objects.delete storage.objects.list`)},
}
